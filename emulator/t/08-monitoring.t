# Monitoring: exposition text, time series and logs.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use TestEmulator;

my $emulator = start_emulator();
my $orders = $TestEmulator::ORDERS;

sub get
{
	my ($path, $query) = @_;
	return $emulator->get($emulator->postgres($orders, $path) . ($query ? "?$query" : ''));
}

sub window
{
	my ($from, $to) = @_;
	return "from_date=2026-06-$from.000Z&to_date=2026-06-$to.000Z";
}

subtest 'Prometheus' => sub {
	my $answer = get('prometheus');
	is($answer->{status}, 200, 'a service');
	like($answer->{headers}{'content-type'}, qr{^text/plain}, 'is text');
	my @lines = split /\n/, $answer->{content};
	my %seen;
	is(scalar(grep { /^# TYPE (\S+)/ && $seen{$1}++ } @lines), 0, 'a family is told of once');
	is(scalar(grep { !/^#/ && !/^\w+\{clickhouse_org="[-0-9a-f]+",postgres_service="$orders",postgres_service_name="orders"(?:,\w+="[^"]*")*\} \S+$/ } @lines),
		0, 'each sample has the labels');
};

subtest 'time series' => sub {
	my $answer = get('metrics', window('01T00:00:00', '01T01:00:00') . '&bucket_size_seconds=60');
	is(scalar @{ $answer->{json}{result}{metrics} }, 12, 'twelve metrics');
	my $points = $answer->{json}{result}{metrics}[0]{series}[0]{dataPoints};
	is(scalar @$points, 60, 'a point a minute');
	my ($part) = get('metrics', window('01T00:30:00', '01T00:31:00') . '&bucket_size_seconds=60')->{json}{result}{metrics}[0]{series}[0]{dataPoints}[0];
	is_deeply($part, $points->[30], 'the same in another window');
	is(get('metrics', window('01T00:00:00', '02T00:00:00') . '&bucket_size_seconds=60')->{status}, 400, 'too many points');
	is(get('metrics', window('01T00:00:00', '02T00:00:00'))->{status}, 200, 'a bucket by the window');
	is(get('metrics', window('02T00:00:00', '01T00:00:00'))->{status}, 400, 'an empty window');
};

subtest 'logs' => sub {
	my $answer = get('logs', window('01T00:00:00', '01T02:00:00') . '&limit=2000&sort_order=asc');
	my @lines = @{ $answer->{json}{result} };
	is(scalar @lines, 121, 'sixty an hour, and the one at the end');
	is($lines[0]{timestamp}, '2026-06-01T00:00:00.000Z', 'the start belongs to it');
	is($lines[-1]{timestamp}, '2026-06-01T02:00:00.000Z', 'and so does the end');
	my %count;
	$count{"$_->{timestamp} $_->{body}"}++ for @lines;
	is(scalar(grep { $_ > 1 } values %count), 2, 'an hour has a line twice');
	is(scalar @{ get('logs', window('01T00:00:00', '01T02:00:00'))->{json}{result} }, 50, 'fifty by default');
	is(get('logs', window('01T00:00:00', '01T02:00:00') . '&severity=error')->{status}, 400, 'a severity that is none');
	is(get('logs', 'from_date=2026-05-01T00:00:00.000Z&to_date=2026-06-01T00:00:00.000Z')->{status}, 400, 'more than thirty days');
};

done_testing();
