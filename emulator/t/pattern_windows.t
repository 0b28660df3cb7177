# Patterns of the test fleet: what a window has, how windows add up, and what the
# executions of a pattern have to do with it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max min sum0);
use Test::More;
use TestEmulator;
use Emulator::Clock qw(format_time parse_time);

# A Wednesday
my $NOW = '2026-06-03T14:25:31.207Z';
my $HOUR = 3600;
my $DAY = 86_400;
my $now = parse_time($NOW);

my @SUMS = qw(callCount errorCount totalRows totalSharedBlksRead
  totalSharedBlksHit totalWalBytes);
my @TIMES = qw(totalDurationUs totalCpuTimeUs);

my $emulator = start_emulator();
my %id;

sub restart
{
	my (%options) = @_;
	my $info = $emulator->reset(now => $NOW, %options);
	%id = map { $_->{name} => $_->{id} } @{ $info->{services} };
	return;
}

# The patterns of a service, by their identity
sub patterns
{
	my ($name, $from, $to) = @_;
	my $rows = $emulator->get($emulator->postgres($id{$name},
		'slowQueryPatterns?limit=500&from_date=' . format_time($from)
		  . '&to_date=' . format_time($to)))->{json}{result};
	return { map { _key($_) => $_ } @$rows };
}

sub _key
{
	my ($row) = @_;
	return join ' ', map { $_ // '' } @$row{qw(queryId dbName dbUser dbOperation app)};
}

# The sum of a field over all patterns of a service in a window
sub in_all
{
	my ($field, @window) = @_;
	return sum0(map { $_->{$field} // 0 } values %{ patterns(@window) });
}

# Checks that the windows between moments add up to the whole.
sub adds_up
{
	my ($name, @moments) = @_;
	my $whole = patterns($name, @moments[ 0, -1 ]);
	my @parts = map { patterns($name, @moments[ $_ - 1, $_ ]) } 1 .. $#moments;
	my @wrong;
	for my $key (sort keys %$whole)
	{
		my @rows = grep { defined } map { $_->{$key} } @parts;
		for my $field (@SUMS)
		{
			next if !defined $whole->{$key}{$field};
			push @wrong, "$field of $key"
			  if $whole->{$key}{$field} != sum0(map { $_->{$field} } @rows);
		}
		for my $field (grep { defined $whole->{$key}{$_} } @TIMES)
		{
			# Some rows have integers only.
			push @wrong, "$field of $key"
			  if abs($whole->{$key}{$field} - sum0(map { $_->{$field} } @rows)) > 1 + @moments;
		}
		# Few executions may all be shorter.
		push @wrong, "maximum of $key"
		  if min(map { $_->{callCount} } @rows) >= 40
		  && abs(max(map { $_->{maxDurationUs} } @rows) - $whole->{$key}{maxDurationUs}) > 1;
	}
	is("@wrong", '', "$name: " . @parts . ' windows add up');
	my %all = map { map { $_ => 1 } keys %$_ } @parts;
	is_deeply([ sort keys %all ], [ sort keys %$whole ], "$name: they have the same patterns");
	return;
}

restart();
subtest 'a longer window has more calls' => sub {
	is(scalar %{ patterns('orders', $now - 0.001, $now) } < 20, 1, 'a millisecond has few patterns');
	my ($hour, $day, $week) =
	  map { in_all('callCount', 'orders', $now - $_, $now) } $HOUR, $DAY, 7 * $DAY;
	cmp_ok($hour, '>', $day / 24, 'an hour of the afternoon has more than the mean of a day');
	cmp_ok($hour, '<', $day / 10, 'an hour has a small part of a day');
	is($week, 7 * $day, 'a week has seven days that are alike');
	is(in_all('callCount', 'orders', $now - 30 * $DAY, $now), $week, 'a week is all that is kept');
	is(in_all('callCount', 'orders', $now - $HOUR, $now + $DAY), $hour, 'the future has no calls');
	my @everywhere = map { scalar %{ patterns('billing', $now - ($_ + 1) * $DAY, $now - $_ * $DAY) } } 0 .. 6;
	is("@everywhere", '60 60 60 60 60 60 60', 'each pattern runs on each day');
};

subtest 'windows add up' => sub {
	adds_up('orders', $now - 2 * $DAY, $now - $DAY, $now);
	adds_up('orders', map { $now - $_ } 7200.5, 5400.123, 5399.9, 0);
	adds_up('billing', map { $now - $_ * $DAY } 6, 4.2, 4.1, 0.25, 0);
	adds_up('billing', map { $now - $HOUR * $_ } reverse 0 .. 30);
	restart(slower => { orders => { 5 => { since => '2026-06-03T11:10:00.000Z', times => 6 } } });
	adds_up('orders', map { $now - $HOUR * $_ } 9, 4, 3.3, 3, 0);
	restart();
};

subtest 'load follows hour, weekday and seed' => sub {
	my $midnight = $DAY * int($now / $DAY);
	my ($night, $evening) = map {
		in_all('callCount', 'orders', $midnight - $DAY + $_ * $HOUR, $midnight - $DAY + ($_ + 1) * $HOUR)
	} 3, 20;
	cmp_ok($evening, '>', 4 * $night, 'a shop has its load in the evening');
	my $mean = sub {
		return in_all('totalDurationUs', @_) / in_all('callCount', @_);
	};
	my @same = grep { /-4748036479882663975/ } keys %{ patterns('orders', $now - $DAY, $now) };
	my ($idle, $busy) = map { patterns('orders', @$_)->{ $same[0] } }
	  [ $midnight - 21 * $HOUR, $midnight - 20 * $HOUR ], [ $midnight - 4 * $HOUR, $midnight - 3 * $HOUR ];
	cmp_ok($busy->{avgDurationUs}, '>', 1.1 * $idle->{avgDurationUs}, 'executions take longer under load');
	my ($sunday, $monday) = map { in_all('callCount', 'billing', $midnight - $_ * $DAY, $midnight - ($_ - 1) * $DAY) } 3, 2;
	cmp_ok($monday, '>', 2 * $sunday, 'an office has its load on working days');
	my @window = ('orders', $now - 5000, $now - 1000);
	my $before = patterns(@window);
	restart();
	is_deeply(patterns(@window), $before, 'a reset makes the same patterns');
	$emulator->reset(now => '2026-06-05T03:00:00.000Z');
	is_deeply(patterns(@window), $before, 'another time makes the same patterns of the past');
	restart(seed => 2);
	isnt(in_all('callCount', @window), sum0(map { $_->{callCount} } values %$before), 'another seed makes other patterns');
	restart();
};

subtest 'rows are consistent' => sub {
	for my $name (qw(orders billing sessions inventory))
	{
		my @wrong;
		for my $length (0.05, 60, $HOUR, 5 * $HOUR, $DAY, 5 * $DAY)
		{
			my $rows = patterns($name, $now - 1000 - $length, $now - 1000);
			for my $row (grep { $_->{queryId} } values %$rows)
			{
				my ($calls, $total, $mean, $max, @percentiles) = @$row{
					qw(callCount totalDurationUs avgDurationUs maxDurationUs
					p50DurationUs p95DurationUs p99DurationUs)};
				push @wrong, "$length " . _key($row) if $row->{errorCount} > $calls
				  || abs($total / $calls - $mean) > 2 + 1e-4 * $mean
				  || max($mean, @percentiles) > $max + 1
				  || $max > $total + 1
				  || "@percentiles" ne join ' ', sort { $a <=> $b } @percentiles;
			}
		}
		is("@wrong", '', "patterns of $name agree in themselves");
	}
};

subtest 'a pattern becomes slower' => sub {
	my @windows = ([ $now - 2 * $HOUR, $now - $HOUR ], [ $now - $HOUR, $now ]);
	my ($key) = grep { /-4748036479882663975/ } keys %{ patterns('orders', $now - $DAY, $now) };
	my @usual = map { patterns('orders', @$_)->{$key} } @windows;
	restart(slower => { orders => { 0 => { since => format_time($now - $HOUR), times => 5 } } });
	my @now = map { patterns('orders', @$_)->{$key} } @windows;
	is_deeply($now[0], $usual[0], 'a pattern stays the same before it becomes slower');
	is($now[1]{callCount}, $usual[1]{callCount}, 'the number of calls stays the same');
	for my $field (qw(avgDurationUs p99DurationUs maxDurationUs totalSharedBlksHit))
	{
		cmp_ok(abs($now[1]{$field} / $usual[1]{$field} - 5), '<', 0.01, "$field is five times as much after it");
	}
	for my $wrong (3, { orders => 3 }, { orders => { x => {} } }, { orders => { 3 => { since => format_time($now) } } },
		{ orders => { 3 => { since => 'now', times => 2 } } }, { orders => { 3 => { since => format_time($now), times => 0 } } })
	{
		ok(!eval { restart(slower => $wrong); 1 }, 'an invalid option is refused');
		like($@, qr/slower: /, 'the refusal names the option');
	}
	restart();
};

subtest 'executions belong to their pattern' => sub {
	my ($few, $seen) = (0, 0);
	for my $name (qw(orders analytics))
	{
		my @wrong;
		for my $row (grep { $_->{queryId} && defined $_->{app} } values %{ patterns($name, $now - $DAY, $now) })
		{
			my $result = $emulator->get($emulator->postgres($id{$name}, "slowQueryPatterns/$row->{queryId}")
				  . '?' . join '&', map { "$_->[0]=" . _escaped($row->{ $_->[1] }) }
				  [ db_name => 'dbName' ], [ db_user => 'dbUser' ], [ db_operation => 'dbOperation' ], [ app => 'app' ])->{json}{result};
			my @executions = @{ $result->{recentExecutions} };
			my @durations = map { $_->{durationUs} } @executions;
			my $key = _key($row);
			$seen++;
			push @wrong, "duration of $key" if max(@durations) > $row->{maxDurationUs} + 1;
			push @wrong, "number of $key" if @executions > $row->{callCount};
			push @wrong, "role of $key"
			  if grep { $_->{serverRole} ne ($name eq 'analytics' ? 'standby' : 'primary') } @executions;
			if ($row->{callCount} < 8)
			{
				$few++;
				# The latest may be younger than the newest execution that is shown.
				push @wrong, "sum of $key" if sum0(@durations) > $row->{totalDurationUs} + 12;
			}
			for my $execution ($row->{callCount} < 2_000 ? @executions[ 0, -1 ] : ())
			{
				my $at = parse_time($execution->{timestamp} =~ s/(\.\d+)?(?:Z|\+00:00)\z/($1 \/\/ '.000') . 'Z'/er);
				my $step = $execution->{timestamp} =~ /\./ ? 0.001 : 1;
				push @wrong, "$execution->{timestamp} of $key"
				  if !patterns($name, $at, $at + $step)->{$key};
			}
		}
		is("@wrong[ 0 .. min(3, $#wrong) ]", '', "executions of $name belong to their patterns");
	}
	cmp_ok($few, '>', 3, 'some patterns have few calls');
	cmp_ok($seen, '>', 80, 'many patterns were compared');
};

sub _escaped
{
	my ($text) = @_;
	return $text =~ s/([^A-Za-z0-9._-])/sprintf '%%%02X', ord $1/ger;
}

done_testing();
