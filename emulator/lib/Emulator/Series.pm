# Time series of a service's levels or its model.  A value depends only on its
# service, series and time, so that overlapping windows agree.
package Emulator::Series;

use strict;
use warnings;

use Mojo::JSON qw(encode_json);
use POSIX      qw(ceil);

# key | unit | labels of the series | name | description.  The databases are the
# service's own, the largest five.  The API's document announces wait events and lock
# waits; their keys, units and labels are not known.
my @METRICS = map { [ split / *\| */, $_, -1 ] } split /\n/, <<'END';
cpu_usage            | %           | user,system,iowait,steal,softirq             | CPU Usage            | CPU time by mode.
load_average         |             | 1 minute,5 minutes,15 minutes                | Load Average         | Processes that run or wait.
memory_usage         | %           | Used Memory,Cache & Buffers,Committed Memory | Memory Usage         | Memory by use.
disk_usage           | %           | Used Space                                   | Disk Usage           | Storage in use.
disk_io              | IOPS        | Reads,Writes                                 | Disk I/O             | Operations of the disks.
network_traffic      | bytes/s     | Received,Transmitted                         | Network Traffic      | Bytes on the network.
connection_count     | count       | Active,Total                                 | Connection Count     | Connections.
cache_hit_ratio      | %           |                                              | Cache Hit Ratio      | Blocks found in the buffer cache.
operation_throughput | ops/s       | Fetch,Insert,Update,Delete                   | Operation Throughput | Rows by operation.
deadlocks            | deadlocks/s |                                              | Deadlocks            | Deadlocks.
database_size        | bytes       | -                                            | Database Size        | Size by database.
transactions         | count/s     | Commits,Rollbacks                            | Transactions         | Transactions.
wait_events          | count       | *                                            | Wait Events          | Sessions that wait, by event.
lock_waits           | count       | relation,transactionid,tuple                 | Lock Waits           | Sessions that wait for a lock, by its type.
END

# Sessions that wait for an event, as a part of those that are active; idle ones wait
# for their client.
my %WAITING = (
	'IO:DataFileRead' => 0.12,
	'IO:WALSync' => 0.05,
	'LWLock:BufferMapping' => 0.01,
	'LWLock:WALWrite' => 0.03,
	'Lock:relation' => 0.004,
	'Lock:transactionid' => 0.04,
	'Lock:tuple' => 0.01);
my $IDLE = 'Client:ClientRead';

my $MAX_DATABASES = 5;

# Formats of values that are sent as strings or integers
my %FORM = (
	cpu_usage => '"%.2f"',
	connection_count => '%d',
	deadlocks => '%.7f',
	database_size => '"%d"');

# The buckets that begin in a half-open window: the number of the first one, and
# that of the one after the last
sub buckets
{
	my ($from, $to, $bucket) = @_;
	return (ceil($from / $bucket), ceil($to / $bucket));
}

sub json
{
	my ($levels, $from, $to, $bucket) = @_;
	my ($first, $end) = buckets($from, $to, $bucket);
	my @times = map { $_ * $bucket } $first .. $end - 1;
	my @metrics = map { _metric($levels, $_, \@times, $bucket) } @METRICS;
	return '{"metrics":[' . join(',', @metrics) . ']}';
}

sub _metric
{
	my ($levels, $metric, $times, $bucket) = @_;
	my ($key, $unit, $labels, $name, $description) = @$metric;
	my $head = encode_json(
		{
			key => $key,
			name => $name,
			unit => $unit eq '' ? undef : $unit,
			description => $description
		});
	$head =~ s/\}\z//;
	my @series =
	  map { _series($levels, $key, $unit, $_, $times, $bucket) }
	  _labels($levels, $labels);
	return "$head,\"series\":[" . join(',', @series) . ']}';
}

# How many sessions wait for an event, when so many are active and idle
sub waiting
{
	my ($event, $active, $idle) = @_;
	return $event eq $IDLE ? $idle : $WAITING{$event} * $active;
}

# A metric of one series has an empty label.
sub _labels
{
	my ($levels, $labels) = @_;
	return ('') if $labels eq '';
	return ($IDLE, sort keys %WAITING) if $labels eq '*';
	return split /,/, $labels if $labels ne '-';
	my @databases = $levels->databases;
	splice @databases, $MAX_DATABASES if @databases > $MAX_DATABASES;
	return @databases;
}

sub _series
{
	my ($levels, $key, $unit, $label, $times, $bucket) = @_;
	my $form = '{"timestamp":%d,"value":' . ($FORM{$key} // '%.3f') . '}';
	my @points;
	for my $time (@$times)
	{
		my $value = $levels->point($key, $label, $time, $bucket);
		$value = 100 if $unit eq '%' && $value > 100;
		push @points, sprintf $form, $time, $value;
	}
	return sprintf '{"label":"%s","dataPoints":[%s]}', $label, join ',',
	  @points;
}

1;
