# Query insights: filters, order, pages, and the shapes of numbers.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use TestEmulator;
use Emulator::Clock qw(format_time);

my $emulator = start_emulator();
my $base = $emulator->postgres($TestEmulator::ORDERS, 'slowQueryPatterns');

sub window
{
	my ($from_hours, $to_hours) = @_;
	return sprintf 'from_date=%s&to_date=%s',
	  map { format_time(time + 3600 * $_, '.000Z') } $from_hours, $to_hours;
}

sub patterns
{
	my ($query, $window) = @_;
	$window //= window(-24, 0);
	my $answer = $emulator->get("$base?$window" . ($query ? "&$query" : ''));
	is($answer->{status}, 200, "patterns: $query");
	return @{ $answer->{json}{result} };
}

my @all = patterns('limit=500');
is(scalar @all, 60, 'sixty patterns');
is(scalar patterns(''), 20, 'twenty by default');
my %id = map { $_->{queryId} => 1 } @all;
my $negative = grep { /^-/ } keys %id;
cmp_ok($negative, '>', @all / 4, 'many ids are negative');
cmp_ok($negative, '<', @all * 3 / 4, 'but not all');
ok((!grep { $_ > 9223372036854775807 || !/^-?\d+$/ } keys %id),
	'ids are bigints');

subtest 'numbers come in all shapes' => sub {
	my $text =
	  $emulator->get("$base?" . window(-24, 0) . '&limit=500')->{content};
	like($text, qr/"avgDurationUs":\d+\.\d+/, 'fraction');
	like($text, qr/"avgDurationUs":\d+,/, 'integer');
	like($text, qr/"avgDurationUs":"\d+\.\d+"/, 'string');
	like($text, qr/"callCount":"\d+"/, 'a counter as string');
	like($text, qr/"queryId":"-?\d+"/, 'ids are strings');
	like($text, qr/"totalWalBytes":null/, 'null');
	cmp_ok(scalar(grep { !exists $_->{app} } @all),
		'>', 0, 'some without app');
	my %fields = map {
		map { $_ => 1 }
		  keys %$_
	} @all;
	is(scalar keys %fields, 19, 'nineteen fields');
};

subtest 'special patterns' => sub {
	my ($error) = grep { $_->{queryId} eq '0' } @all;
	is($error->{queryText}, '', 'no text');
	is($error->{dbOperation}, 'UNKNOWN', 'no operation');
	cmp_ok($error->{errorCount}, '>', 0, 'errors');
	is($error->{errorCount}, $error->{callCount}, 'errors only');
	my @probes = patterns('app=bin%2Fmonitor');
	is(scalar @probes, 3, 'probes of the control plane');
	is((patterns('sort_by=error_count&limit=500'))[-1]{errorCount},
		0, 'sorted by errors');
};

subtest 'filters' => sub {
	my %field = (
		db_name => 'dbName',
		db_user => 'dbUser',
		db_operation => 'dbOperation',
		app => 'app');
	for my $name (sort keys %field)
	{
		my $value = $all[1]{ $field{$name} };
		my @found = patterns("$name=$value&limit=500");
		is( scalar @found,
			scalar(grep { ($_->{ $field{$name} } // '') eq $value } @all),
			"$name=$value");
	}
	is(scalar patterns('db_name=none'), 0, 'nothing matches');
};

subtest 'order and pages' => sub {
	for my $sort (
		qw(total_duration avg_duration call_count max_duration p50_duration
		p95_duration p99_duration total_rows total_shared_blks_hit
		total_blks_read error_count total_cpu_time total_wal_bytes))
	{
		my @pages =
		  map { patterns("sort_by=$sort&limit=25&offset=$_") } 0, 25, 50, 75;
		my %seen = map { $_->{queryId} . ($_->{app} // '') => 1 } @pages;
		is(scalar @pages, 60, "$sort: pages join");
		is(scalar keys %seen, 60, "$sort: without overlap");
	}
	my @up =
	  map { $_->{callCount} } patterns('sort_by=call_count&sort_order=asc');
	is_deeply(\@up, [ sort { $a <=> $b } @up ], 'ascending');
	my @down = map { $_->{totalDurationUs} } patterns('');
	is_deeply(\@down, [ sort { $b <=> $a } @down ], 'descending by default');
};

subtest 'windows' => sub {
	is(scalar patterns('', window(1, 2)), 0, 'future');
	is(scalar patterns('', window(-24 * 9, -24 * 8)), 0, 'long ago');
	is(scalar patterns('', window(-24 * 9, -24)), 20, 'partly kept');
};

my $identity = 'db_name=sales&db_user=orders_service&db_operation=SELECT';

subtest 'one pattern' => sub {
	my $answer = $emulator->get("$base/-4748036479882663975?$identity");
	my $result = $answer->{json}{result};
	is($result->{aggregate}{callCount}, 84213, 'the documented example');
	my @executions = @{ $result->{recentExecutions} };
	cmp_ok(scalar @executions, '>', 7, 'about ten executions');
	my %fields = map {
		map { $_ => 1 }
		  keys %$_
	} @executions;
	is(scalar keys %fields, 38 + 2, 'all fields but those of errors');
	is((grep { !exists $_->{queryId} } @executions) > 0,
		1, 'some are trimmed');
	like($answer->{content}, qr/"pid":"\d+"/, 'pids are strings');
	like(
		$answer->{content},
		qr/"timestamp":"[^"]+\d\d:\d\dZ"/,
		'time without fraction');
	like(
		$answer->{content},
		qr/"timestamp":"[^"]+\.\d{3}Z"/,
		'time with fraction');
	like(
		$answer->{content},
		qr/"timestamp":"[^"]+\+00:00"/,
		'time with offset');
};

subtest 'one execution' => sub {
	my $executions =
	  $emulator->get("$base/-4748036479882663975?$identity")
	  ->{json}{result}{recentExecutions};
	for my $execution (@$executions[ 0 .. 3 ])
	{
		my $time = $execution->{timestamp} =~ s/(?:Z|\+00:00)$//r;
		$time .= '.000' if $time !~ /\./;
		my $result =
		  $emulator->get(
			"$base/-4748036479882663975?$identity&timestamp=${time}Z")
		  ->{json}{result};
		is_deeply($result->{recentExecutions},
			[$execution], $execution->{timestamp});
		ok($result->{aggregate}, 'and the aggregate');
	}
};

subtest 'errors' => sub {
	my $result = $emulator->get(
		"$base/0?db_name=sales&db_user=orders_service&db_operation=UNKNOWN")
	  ->{json}{result};
	my ($execution) = @{ $result->{recentExecutions} };
	like($execution->{errSqlstate}, qr/^[0-9A-Z]{5}$/, 'SQLSTATE');
	ok($execution->{errMessage}, 'message');
	is($execution->{errElevel}, 21, 'level');
};

subtest 'two applications' => sub {
	my ($one, $two) = grep {
		$_->{queryText} eq
		  'SELECT id, name, email FROM customers WHERE id = $1'
	} @all;
	is($one->{queryId}, $two->{queryId}, 'run the same statement');
	my $path = "$base/$one->{queryId}?$identity";
	is( $emulator->get($path)->{json}{result}{aggregate}{callCount},
		$one->{callCount} + $two->{callCount},
		'joint calls');
	is( $emulator->get("$path&app=$two->{app}")
		  ->{json}{result}{aggregate}{callCount},
		$two->{callCount}, 'calls of one');
};

subtest 'patterns with other values' => sub {
	$emulator->reset(
		pattern_overrides => {
			orders => {
				3 => { callCount => 7, p99DurationUs => undef },
				4 => { callCount => undef, app => undef }
			}
		});
	for my $order (qw(asc desc))
	{
		my @found = patterns("sort_by=p99_duration&sort_order=$order&limit=500");
		is($found[-1]{callCount}, 7, "a null is last, $order");
		ok(exists $found[-1]{p99DurationUs}, 'and a null in the answer');
		ok((!grep { !defined $_->{p99DurationUs} } @found[ 0 .. 58 ]),
			'the others have values');
		@found = patterns("sort_by=total_cpu_time&sort_order=$order&limit=500");
		my @places = grep { !exists $found[$_]{totalCpuTimeUs} } 0 .. 59;
		is_deeply(\@places, [ 60 - @places .. 59 ],
			"what is missing is last, $order");
	}
	is((patterns('sort_by=call_count&sort_order=asc&limit=500'))[-1]{app},
		undef, 'no application');
	for my $wrong (3, { x => {} }, { 3 => 3 }, { 3 => { nix => 1 } },
		{ 3 => { callCount => 'many' } })
	{
		ok( !eval {
				$emulator->reset(pattern_overrides => { orders => $wrong });
			},
			'refused');
		like($@, qr/pattern_overrides: .*orders/, '... says why');
	}
};

is_deeply(
	$emulator->get("$base/17?$identity")->{json}{result},
	{ recentExecutions => [] },
	'no such pattern');

done_testing();
