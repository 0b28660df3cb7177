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
	is($answer->{status}, 200, "patterns are answered: $query");
	return @{ $answer->{json}{result} };
}

my @all = patterns('limit=500');
is(scalar @all, 60, 'a service has sixty patterns');
is(scalar patterns(''), 20, 'a page has twenty patterns by default');
my %id = map { $_->{queryId} => 1 } @all;
my $negative = grep { /^-/ } keys %id;
cmp_ok($negative, '>', @all / 4, 'many query ids are negative');
cmp_ok($negative, '<', @all * 3 / 4, 'many query ids are positive');
ok((!grep { $_ > 9223372036854775807 || !/^-?\d+$/ } keys %id),
	'all query ids are bigints');

subtest 'numbers are integers, fractions, strings or null' => sub {
	my $text =
	  $emulator->get("$base?" . window(-24, 0) . '&limit=500')->{content};
	like($text, qr/"avgDurationUs":\d+\.\d+/, 'some durations are fractions');
	like($text, qr/"avgDurationUs":\d+,/, 'some durations are integers');
	like($text, qr/"avgDurationUs":"\d+\.\d+"/, 'some durations are strings');
	like($text, qr/"callCount":"\d+"/, 'some counters are strings');
	like($text, qr/"queryId":"-?\d+"/, 'query ids are strings');
	like($text, qr/"totalWalBytes":null/, 'some counters are null');
	cmp_ok(scalar(grep { !exists $_->{app} } @all),
		'>', 0, 'some patterns omit the application');
	my %fields = map {
		map { $_ => 1 }
		  keys %$_
	} @all;
	is(scalar keys %fields, 19, 'patterns have nineteen fields');
};

subtest 'errors and probes have patterns of their own' => sub {
	my ($error) = grep { $_->{queryId} eq '0' } @all;
	is($error->{queryText}, '', 'errors have no text');
	is($error->{dbOperation}, 'UNKNOWN', 'errors have the operation UNKNOWN');
	cmp_ok($error->{errorCount}, '>', 0, 'errors are counted');
	is($error->{errorCount}, $error->{callCount}, 'each call of that pattern is an error');
	my @probes = patterns('app=bin%2Fmonitor');
	is(scalar @probes, 3, 'the control plane has three probes');
	is((patterns('sort_by=error_count&limit=500'))[-1]{errorCount},
		0, 'patterns without errors are last by errors');
};

subtest 'a filter selects equal values' => sub {
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
			"$name=$value selects the patterns that have it");
	}
	is(scalar patterns('db_name=none'), 0, 'a filter may select nothing');
};

subtest 'pages join for every order' => sub {
	for my $sort (
		qw(total_duration avg_duration call_count max_duration p50_duration
		p95_duration p99_duration total_rows total_shared_blks_hit
		total_blks_read error_count total_cpu_time total_wal_bytes))
	{
		my @pages =
		  map { patterns("sort_by=$sort&limit=25&offset=$_") } 0, 25, 50, 75;
		my %seen = map { $_->{queryId} . ($_->{app} // '') => 1 } @pages;
		is(scalar @pages, 60, "$sort: four pages have all patterns");
		is(scalar keys %seen, 60, "$sort: pages do not overlap");
	}
	my @up =
	  map { $_->{callCount} } patterns('sort_by=call_count&sort_order=asc');
	is_deeply(\@up, [ sort { $a <=> $b } @up ], 'an ascending order is kept');
	my @down = map { $_->{totalDurationUs} } patterns('');
	is_deeply(\@down, [ sort { $b <=> $a } @down ], 'the default is descending by total duration');
};

subtest 'patterns are kept for seven days' => sub {
	is(scalar patterns('', window(1, 2)), 0, 'the future has no patterns');
	is(scalar patterns('', window(-24 * 9, -24 * 8)), 0, 'a window before has no patterns');
	is(scalar patterns('', window(-24 * 9, -24)), 20, 'a window that is partly kept has patterns');
};

my $identity = 'db_name=sales&db_user=orders_service&db_operation=SELECT';

subtest 'a single pattern has its executions' => sub {
	my $answer = $emulator->get("$base/-4748036479882663975?$identity");
	my $result = $answer->{json}{result};
	is($result->{aggregate}{callCount}, 84213, 'the first pattern is the documented example');
	my @executions = @{ $result->{recentExecutions} };
	cmp_ok(scalar @executions, '>', 7, 'a pattern has about ten executions');
	my %fields = map {
		map { $_ => 1 }
		  keys %$_
	} @executions;
	is(scalar keys %fields, 38 + 2, 'executions have all fields but those of errors');
	is((grep { !exists $_->{queryId} } @executions) > 0,
		1, 'some executions omit their query id');
	like($answer->{content}, qr/"pid":"\d+"/, 'process ids are strings');
	like(
		$answer->{content},
		qr/"timestamp":"[^"]+\d\d:\d\dZ"/,
		'some times have no fraction');
	like(
		$answer->{content},
		qr/"timestamp":"[^"]+\.\d{3}Z"/,
		'some times have a fraction');
	like(
		$answer->{content},
		qr/"timestamp":"[^"]+\+00:00"/,
		'some times have an offset');
};

subtest 'a timestamp selects one execution' => sub {
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
			[$execution], "the execution of $execution->{timestamp} alone is returned");
		ok($result->{aggregate}, 'the aggregate is returned with it');
	}
};

subtest 'executions that failed say why' => sub {
	my $result = $emulator->get(
		"$base/0?db_name=sales&db_user=orders_service&db_operation=UNKNOWN")
	  ->{json}{result};
	my ($execution) = @{ $result->{recentExecutions} };
	like($execution->{errSqlstate}, qr/^[0-9A-Z]{5}$/, 'they have an SQLSTATE');
	ok($execution->{errMessage}, 'they have a message');
	is($execution->{errElevel}, 21, 'they have a level');
};

subtest 'two applications may run the same statement' => sub {
	my ($one, $two) = grep {
		$_->{queryText} eq
		  'SELECT id, name, email FROM customers WHERE id = $1'
	} @all;
	is($one->{queryId}, $two->{queryId}, 'both have the same query id');
	my $path = "$base/$one->{queryId}?$identity";
	is( $emulator->get($path)->{json}{result}{aggregate}{callCount},
		$one->{callCount} + $two->{callCount},
		'without app, a pattern is the sum over both');
	is( $emulator->get("$path&app=$two->{app}")
		  ->{json}{result}{aggregate}{callCount},
		$two->{callCount}, 'with app, a pattern is that of one');
};

subtest 'patterns can be overridden' => sub {
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
		is($found[-1]{callCount}, 7, "a null is last in $order order");
		ok(exists $found[-1]{p99DurationUs}, 'a null stays a null');
		ok((!grep { !defined $_->{p99DurationUs} } @found[ 0 .. 58 ]),
			'all others have values');
		@found = patterns("sort_by=total_cpu_time&sort_order=$order&limit=500");
		my @places = grep { !exists $found[$_]{totalCpuTimeUs} } 0 .. 59;
		is_deeply(\@places, [ 60 - @places .. 59 ],
			"a missing value is last in $order order");
	}
	is((patterns('sort_by=call_count&sort_order=asc&limit=500'))[-1]{app},
		undef, 'null removes the application');
	for my $wrong (3, { x => {} }, { 3 => 3 }, { 3 => { nix => 1 } },
		{ 3 => { callCount => 'many' } })
	{
		ok( !eval {
				$emulator->reset(pattern_overrides => { orders => $wrong });
			},
			'an invalid override is refused');
		like($@, qr/pattern_overrides: .*orders/, 'the refusal names the service');
	}
};

is_deeply(
	$emulator->get("$base/17?$identity")->{json}{result},
	{ recentExecutions => [] },
	'an unknown pattern has no executions');

done_testing();
