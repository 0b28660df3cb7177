# Prometheus metrics as text. Counters grow with the clock, once a minute.
package Emulator::Exposition;

use strict;
use warnings;

use Encode qw(encode_utf8);
use Emulator::Random;

my $PREFIX = 'PostgresServer_';

# Where the minutes of counters are counted from
my $START = 1_735_689_600;

# name, type, help, label, its values, lowest, highest: of a gauge, or of a
# counter's growth in a minute
my @FAMILIES = (
	[ 'CPUCores', 'gauge', 'CPU cores of the server.', undef, undef, 2, 16 ],
	[ 'MemoryLimitBytes', 'gauge', 'Memory of the server, in bytes.', undef, undef, 8e9, 128e9 ],
	[ 'StorageLimitBytes', 'gauge', 'Storage of the server, in bytes.', undef, undef, 118e9, 1900e9 ],
	[ 'CPUSeconds_Total', 'counter', 'CPU time by mode, in seconds.', 'mode', [qw(user system idle iowait steal nice irq softirq)], 0.1, 60 ],
	[ 'MemoryUsedPercent', 'gauge', 'Memory in use, in percent.', undef, undef, 20, 95 ],
	[ 'MemoryCachePercent', 'gauge', 'Memory used as cache, in percent.', undef, undef, 5, 60 ],
	[ 'FilesystemUsedPercent', 'gauge', 'Storage in use, in percent.', undef, undef, 5, 99 ],
	[ 'DiskReads_Total', 'counter', 'Disk reads.', 'device', [qw(nvme0n1 nvme1n1)], 10, 90000 ],
	[ 'DiskWrites_Total', 'counter', 'Disk writes.', 'device', [qw(nvme0n1 nvme1n1)], 10, 90000 ],
	[ 'NetworkReceiveBytes_Total', 'counter', 'Bytes received.', 'interface', [qw(eth0 lo)], 1e4, 1e9 ],
	[ 'NetworkTransmitBytes_Total', 'counter', 'Bytes sent.', 'interface', [qw(eth0 lo)], 1e4, 1e9 ],
	[ 'TuplesFetched_Total', 'counter', 'Rows fetched.', 'database', [qw(sales reports postgres)], 10, 1e7 ],
	[ 'TuplesInserted_Total', 'counter', 'Rows inserted.', 'database', [qw(sales reports postgres)], 1, 1e5 ],
	[ 'TuplesUpdated_Total', 'counter', 'Rows updated.', 'database', [qw(sales reports postgres)], 1, 1e5 ],
	[ 'TuplesDeleted_Total', 'counter', 'Rows deleted.', 'database', [qw(sales reports postgres)], 0.1, 1e4 ],
	[ 'TransactionsCommitted_Total', 'counter', 'Transactions committed.', 'database', [qw(sales reports postgres)], 1, 1e5 ],
	[ 'TransactionsRolledBack_Total', 'counter', 'Transactions rolled back.', 'database', [qw(sales reports postgres)], 0.1, 100 ],
	[ 'Deadlocks_Total', 'counter', 'Deadlocks.', 'database', [qw(sales reports postgres)], 0.0001, 0.01 ],
	[ 'ActiveConnections', 'gauge', 'Connections by state.', 'state', [ 'active', 'idle', 'idle in transaction', 'fastpath function call' ], 0.6, 120 ],
	[ 'CacheHitRatio', 'gauge', 'Share of blocks found in the buffer cache.', undef, undef, 0.8, 1 ],
	[ 'DatabaseSizeBytes', 'gauge', "Size of a database, in bytes.\\nIncludes C:\\\\its indexes.", 'database', [qw(sales reports postgres)], 8e6, 4e11 ]);

my %WHOLE = map { $_ => 1 } qw(CPUCores MemoryLimitBytes StorageLimitBytes ActiveConnections DatabaseSizeBytes);

sub text
{
	my ($seed, $now, $organization, @services) = @_;
	my $minutes = int(($now - $START) / 60);
	my %labels = map { $_->{fields}{id} => _labels($organization, $_) } @services;
	my @lines = (
		'# HELP PostgresServiceInfo Status and version of the service.',
		'# TYPE PostgresServiceInfo gauge',
		map {
			sprintf 'PostgresServiceInfo{%s,postgres_status="%s",postgres_version="%s"} 1',
			  $labels{ $_->{fields}{id} }, @{ $_->{fields} }{qw(state postgresVersion)}
		} @services);

	for my $family (@FAMILIES)
	{
		my ($name, $type, $help, $label, $values) = @$family;
		push @lines, "# HELP $PREFIX$name $help", "# TYPE $PREFIX$name $type";
		for my $service (@services)
		{
			for my $value ($values ? @$values : undef)
			{
				my $more = defined $value ? qq(,$label="$value") : '';
				push @lines,
				  "$PREFIX$name\{$labels{ $service->{fields}{id} }$more} "
				  . _value($seed, $service, $family, $value, $minutes);
			}
		}
	}
	return encode_utf8(join "\n", @lines, '');
}

sub _value
{
	my ($seed, $service, $family, $value, $minutes) = @_;
	my ($name, $type, undef, undef, undef, $low, $high) = @$family;
	my $random = Emulator::Random->new($seed, 'exposition', $service->{number}, $name, $value // '');
	my $number = $random->log_between($low, $high);
	return sprintf '%d', $number * $minutes if $type eq 'counter';
	return sprintf '%d', $number if $WHOLE{$name};
	return $name eq 'CacheHitRatio' ? sprintf '%.6e', $number : sprintf '%.3f', $number;
}

sub _labels
{
	my ($organization, $service) = @_;
	my %label = (
		clickhouse_org => $organization,
		postgres_service => $service->{fields}{id},
		postgres_service_name => $service->{fields}{name});
	return join ',', map {
		my $text = $label{$_} // '';
		$text =~ s/([\\"])/\\$1/g;
		$text =~ s/\n/\\n/g;
		qq($_="$text")
	} sort keys %label;
}

1;
