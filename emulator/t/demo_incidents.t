# The demo fleet: what happened there is told alike by all routes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use TestEmulator;
use Emulator::Clock qw(format_time parse_time);

# A Wednesday, and a Sunday night
my @NOW = ('2026-06-03T14:25:00.000Z', '2026-06-07T02:05:00.000Z');
my $GUIDE_ID = '-4748036479882663975';

my $emulator = start_emulator('--fleet', 'demo');
my %service;
my $hour;

# Starts anew at a time.
sub at
{
	my ($now) = @_;
	$emulator->reset(now => $now);
	%service = map { $_->{name} => $_ }
	  @{ $emulator->get($emulator->postgres)->{json}{result} };
	$hour = 3600 * int(parse_time($now) / 3600);
	return;
}

sub get
{
	my ($name, $path) = @_;
	my $answer =
	  $emulator->get($emulator->postgres($service{$name}{id}, $path));
	is($answer->{status}, 200, "$name answers $path");
	return $answer->{json} ? $answer->{json}{result} : $answer->{content};
}

# From one hour to another, counted from the last full one
sub window
{
	my ($from, $to) = @_;
	return sprintf 'from_date=%s&to_date=%s',
	  map { format_time($hour + 3600 * $_) } $from, $to;
}

# The pattern of a window whose text begins so
sub pattern
{
	my ($name, $text, $from, $to) = @_;
	my $rows =
	  get($name, 'slowQueryPatterns?limit=100&' . window($from, $to));
	my ($found) = grep { index($_->{queryText}, $text) == 0 } @$rows;
	return $found;
}

# A series' points in a window, an hour each
sub points
{
	my ($name, $metric, $from, $to) = @_;
	my $metrics = get($name,
		'metrics?bucket_size_seconds=3600&' . window($from, $to))->{metrics};
	my ($found) = grep { $_->{key} eq $metric } @$metrics;
	return map { $_->{value} } @{ $found->{series}[0]{dataPoints} };
}

for my $now (@NOW)
{
	subtest "events of the fleet at $now" => sub {
		at($now);
		is(scalar keys %service, 9, 'the fleet has nine services');
		my %environment;
		for my $service (values %service)
		{
			my %tag = map { $_->{key} => $_->{value} } @{ $service->{tags} };
			ok($tag{team}, "$service->{name} has a team");
			$environment{ $tag{Environment} }++;
		}
		is_deeply(\%environment, { production => 6, staging => 3 },
			'six services are in production, three in staging');

		# The regression has a beginning.
		my ($before, $after) =
		  map { pattern('orders', 'SELECT * FROM orders WHERE customer', @$_) }
		  [ -9, -8 ], [ -8, -7 ];
		is($after->{queryId}, $GUIDE_ID, 'the regression is of the query of the guide');
		cmp_ok($after->{avgDurationUs}, '>',
			4 * $before->{avgDurationUs}, 'the regression makes it slower');
		cmp_ok(
			$after->{totalSharedBlksHit} / $after->{callCount},
			'>',
			20 * $before->{totalSharedBlksHit} / $before->{callCount},
			'the regression makes it read more blocks');
		my ($cpu_before, $cpu_after) = points('orders', 'cpu_usage', -9, -7);
		cmp_ok($cpu_after, '>', 1.3 * $cpu_before, 'the regression takes more CPU');
		my $runs =
		  get('orders',
			"slowQueryPatterns/$GUIDE_ID?db_name=sales&"
			  . 'db_user=orders_service&db_operation=SELECT')
		  ->{recentExecutions};
		my %longest;
		for my $run (@$runs)
		{
			my $epoch = parse_time($run->{timestamp} =~ s/(?:\.\d+)?(?:Z|\+00:00)\z/.000Z/r);
			my $when = $epoch < $hour - 8 * 3600 ? 'before' : 'after';
			push @{ $longest{$when} }, $run->{sharedBlksHit};
		}
		my ($most) = sort { $b <=> $a } @{ $longest{before} // [0] };
		my ($least) = sort { $a <=> $b } @{ $longest{after} };
		cmp_ok($least, '>', $most, 'executions show the regression');

		# The missing index, and the N+1
		my $scan = pattern('billing', 'SELECT id, invoice_id', -1, 0);
		cmp_ok($scan->{totalSharedBlksHit} / $scan->{totalRows},
			'>', 10_000, 'the missing index costs blocks for each row');
		my $loop = pattern('storefront', 'SELECT "products".*', -1, 0);
		cmp_ok($loop->{callCount}, '>', 100_000, 'the N+1 has many executions in an hour');
		cmp_ok($loop->{avgDurationUs}, '<', 1_000, 'the N+1 has short executions');

		# The errors have a beginning and an end.
		my @errors =
		  map {
			my $rows = get('inventory',
				'slowQueryPatterns?sort_by=error_count&limit=1&'
				  . window($_, $_ + 1));
			@$rows && $rows->[0]{queryId} eq '0'
			  ? $rows->[0]{errorCount}
			  : 0
		  } -5 .. -1;
		cmp_ok($errors[$_], '<', 50, "few errors in hour $_ of five")
		  for 0, 3, 4;
		cmp_ok($errors[$_], '>', 1_000, "many errors in hour $_ of five")
		  for 1, 2;
		my @deadlocks = points('inventory', 'deadlocks', -5, 0);
		is_deeply(
			[ map { 3_600 * $_ > 1_000 ? 1 : 0 } @deadlocks ],
			[ 0, 1, 1, 0, 0 ],
			'metrics show the errors as deadlocks');
		my @lines = map {
			scalar @{ get('inventory',
					'logs?body_contains=deadlock&limit=100&'
					  . window($_, $_ + 1)) }
		} -5, -4;
		is($lines[0], 0, 'the log has no deadlocks before');
		cmp_ok($lines[1], '>', 3, 'the log has deadlocks during the errors');

		# Storage and settings
		my $text = get('analytics', 'prometheus');
		my ($used) = $text =~ /FilesystemUsedPercent\{[^}]*\} (\S+)/;
		cmp_ok($used, '>', 88, 'the storage is nearly full');
		my @used = points('analytics', 'disk_usage', -24, 0);
		cmp_ok($used[0], '<', $used[-1], 'the storage filled up in a day');
		cmp_ok(abs($used[-1] - $used), '<', 0.2, 'metrics and Prometheus show the same level');
		my %config = map { $_ => get($_, 'config')->{pgConfig} } keys %service;
		my @unlike =
		  grep { $config{$_}{random_page_cost} ne '1.1' } keys %config;
		is("@unlike", 'search', 'one service has other settings');
	};
}

subtest 'load follows hour and weekday' => sub {
	at($NOW[0]);
	my ($night, $evening) =
	  map { pattern('storefront', 'SELECT * FROM sessions', @$_)->{callCount} }
	  [ -11, -10 ], [ -19, -18 ];
	cmp_ok($evening, '>', 3 * $night, 'a shop has its load in the evening');
	my ($sunday, $tuesday) =
	  map { pattern('billing', 'SELECT * FROM invoices', @$_)->{callCount} }
	  [ -86, -62 ], [ -38, -14 ];
	cmp_ok($tuesday, '>', 2 * $sunday, 'an office has its load on working days');
};

subtest 'parts of a window add up' => sub {
	at($NOW[0]);
	my $calls =
	  sub { pattern('orders', 'SELECT * FROM orders WHERE id', @_)->{callCount} };
	my $sum = 0;
	$sum += $calls->($_, $_ + 1) for -6 .. -1;
	is($calls->(-6, 0), $sum, 'six hours are the sum of each');
	cmp_ok(abs($calls->(-1, -0.5) + $calls->(-0.5, 0) - $calls->(-1, 0)),
		'<=', 1, 'an hour is the sum of its halves');
	is($calls->(-200, 0), $calls->(-168 + 25 / 60, 0), 'seven days are kept');
	my $last = $calls->(-1, 24);
	is($calls->(-1, 48), $last, 'the future has no load');
};

subtest 'counters are the sum of patterns' => sub {
	at($NOW[0]);
	my $rows =
	  get('inventory', 'slowQueryPatterns?limit=100&' . window(-168, 0));
	my $week = 0;
	$week += $_->{callCount}
	  for grep { $_->{queryId} && $_->{app} ne 'bin/monitor' } @$rows;
	my ($counter) = get('inventory', 'prometheus') =~
	  /TransactionsCommitted_Total\{[^}]*\} (\S+)/;
	my $created = parse_time($service{inventory}{createdAt});
	my $expected = $week / (7 * 86_400) * (parse_time($NOW[0]) - $created);
	cmp_ok(abs($counter / $expected - 1), '<', 0.05, 'transactions are the calls of patterns');
};

my $plain = start_emulator();
is(scalar @{ $plain->get($plain->postgres)->{json}{result} },
	6, 'the default fleet is another');
$plain->reset(fleet => 'demo', services => 12);
is($plain->get($plain->postgres)->{json}{result}[11]{name},
	'svc-012', 'more services than are described have made-up names');
my $refused = eval { $plain->reset(fleet => 'none'); 1 };
like($@, qr/fleet: none of test demo/, 'an unknown fleet is refused');

done_testing();
