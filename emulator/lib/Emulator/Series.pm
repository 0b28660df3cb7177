# Time series. A value depends on nothing but its service, series and time, so
# that any cut of a window gives the same points.
package Emulator::Series;

use strict;
use warnings;

use Mojo::JSON qw(encode_json);
use POSIX      qw(ceil);
use Emulator::Random;

my $DAY = 86400;

# key, name, unit, description, labels of the series, lowest, highest
my @METRICS = (
	[ 'cpu_usage', 'CPU usage', '%', 'CPU time by mode.', [qw(user system)], 1, 60 ],
	[ 'load_average', 'Load average', undef, 'Load of the last minute.', ['1m'], 0.1, 12 ],
	[ 'memory_usage', 'Memory usage', '%', 'Memory in use.', [qw(used cached)], 10, 90 ],
	[ 'disk_usage', 'Disk usage', '%', 'Storage in use.', ['data'], 5, 95 ],
	[ 'disk_io', 'Disk I/O', 'IOPS', 'Operations of the disks.', [qw(Reads Writes)], 1, 4000 ],
	[ 'network_traffic', 'Network traffic', 'bytes/s', 'Bytes on the network.', [qw(Received Sent)], 1e3, 1e8 ],
	[ 'connection_count', 'Connections', 'count', 'Connections by state.', [qw(active idle)], 1, 200 ],
	[ 'cache_hit_ratio', 'Cache hit ratio', '%', 'Blocks found in the buffer cache.', ['hit'], 80, 100 ],
	[ 'operation_throughput', 'Operations', 'ops/s', 'Rows changed.', [qw(insert update)], 1, 1e4 ],
	[ 'deadlocks', 'Deadlocks', 'count', 'Deadlocks in the bucket.', ['sales'], 0.1, 3 ],
	[ 'database_size', 'Database size', 'bytes', 'Size by database.', [qw(sales postgres)], 8e6, 4e11 ],
	[ 'transactions', 'Transactions', 'tx/s', 'Transactions.', [qw(commit rollback)], 0.1, 5e3 ]);

# Values that come as text, or as integers
my %FORM = (
	cpu_usage => '"%.2f"',
	connection_count => '%d',
	deadlocks => '%d',
	database_size => '"%d"');

sub json
{
	my ($seed, $service, $from, $to, $bucket) = @_;
	my $first = ceil($from / $bucket) * $bucket;
	my @times;
	for (my $time = $first; $time < $to; $time += $bucket)
	{
		push @times, $time;
	}
	return '{"metrics":[' . join(',', map { _metric($seed, $service, $_, \@times) } @METRICS) . ']}';
}

sub _metric
{
	my ($seed, $service, $metric, $times) = @_;
	my ($key, $name, $unit, $description, $labels) = @$metric;
	my $head = encode_json({ key => $key, name => $name, unit => $unit, description => $description });
	$head =~ s/\}\z//;
	return "$head,\"series\":["
	  . join(',', map { _series($seed, $service, $metric, $_, $times) } @$labels) . ']}';
}

sub _series
{
	my ($seed, $service, $metric, $label, $times) = @_;
	my ($key, undef, undef, undef, undef, $low, $high) = @$metric;
	my $random = Emulator::Random->new($seed, 'series', $service->{number}, $key, $label);
	my $middle = $random->log_between($low, $high);
	my $phase = $random->fraction * 6.283;
	my $form = '{"timestamp":%d,"value":' . ($FORM{$key} // '%.3f') . '}';
	my @points = map {
		my $swing = 0.3 * sin($_ / $DAY * 6.283185 + $phase) + 0.1 * sin($_ * 12.9898 + $phase);
		sprintf $form, $_, $middle * (1 + $swing)
	} @$times;
	return sprintf '{"label":"%s","dataPoints":[%s]}', $label, join ',', @points;
}

1;
