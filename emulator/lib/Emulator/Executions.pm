# The recent executions of one pattern: about ten, or fewer if it ran less often,
# spread over the day before the emulator's data was made, newest first.
package Emulator::Executions;

use strict;
use warnings;

use List::Util      qw(min sum0);
use Emulator::Clock qw(format_time);
use Emulator::Random;
use Emulator::Row qw(json_row json_text json_fraction json_quoted);

my @TIME_FORMS = ('.mmmZ', 'Z', '.mmm+00:00', '+00:00');

my @ERRORS = (
	[ '57014', 'canceling statement due to statement timeout' ],
	[ '40P01', 'deadlock detected' ],
	[
		'23505',
		'duplicate key value violates unique constraint "orders_pkey"'
	],
	[ '42P01', 'relation "order_archive" does not exist' ],
	[ '22P02', 'invalid input syntax for type integer: "n/a"' ]);

# PostgreSQL's ERROR
my $ERROR_LEVEL = 21;

my $DAY = 86400;

# How much longer than the mean an execution takes, at least and at most; when all
# executions are shown, none may exceed the longest of the pattern.
my @SPREAD = (0.3, 5);
my @NARROW = (0.6, 2.5);

# Returns [ epoch, JSON ] pairs of a pattern with the sums of a day.  "base" is the
# newest time possible, "role" that of the server.
sub executions
{
	my ($seed, $service, $role, $pattern, $base) = @_;
	my $random =
	  Emulator::Random->new($seed, $service, 'executions',
		$pattern->{number});
	my @times = _times($pattern, $base, $random);
	my $all = @times == $pattern->{callCount};
	my @durations = map {
		_pattern_at($pattern, $_)->{avgDurationUs} *
		  $random->log_between($all ? @NARROW : @SPREAD)
	} @times;
	my $sum = sum0(@durations);
	@durations = map { $_ * $pattern->{totalDurationUs} / $sum } @durations
	  if $all && $sum;
	my $number = 0;
	return map {
		my $duration = min(shift @durations, $pattern->{maxDurationUs});
		my $form = $TIME_FORMS[ $number % @TIME_FORMS ];
		my $epoch = $form =~ /mmm/ ? $_ : int;
		[
			$epoch,
			_render(_pattern_at($pattern, $epoch), $role, $duration,
				$number++, format_time($epoch, $form), $random)
		]
	} @times;
}

# Moments at which the pattern ran.  A pattern of the test fleet has a moment for each
# of its calls; of that of another, any will do.
sub _times
{
	my ($pattern, $base, $random) = @_;
	my $time = int($base) - $random->between(5, 900);
	my $count = $random->between(9, 12);
	my @times;
	while (@times < $count)
	{
		$time = $pattern->{call_before}->($time) // last
		  if $pattern->{call_before};
		last if $time < $base - $DAY;
		push @times, $time + ($pattern->{call_before} ? 0 : $random->between(1, 999) / 1000);
		$time -= $random->between(60, 14_000 / 2);
	}
	return @times;
}

# The pattern as it was at a time, if it varies
sub _pattern_at
{
	my ($pattern, $epoch) = @_;
	return $pattern if !$pattern->{at};
	return $pattern->{at}->($epoch) // $pattern;
}

sub _render
{
	my ($pattern, $role, $micros, $number, $timestamp, $random) = @_;
	my $failed = $pattern->{errorCount}
	  && ( $pattern->{errorCount} == $pattern->{callCount}
		|| $number % 6 == 1);
	return json_row(
		timestamp => json_text($timestamp),
		# Some executions omit their pattern's identity.
		($number % 5 == 3 ? () : _identity($pattern)),
		pid => json_text($random->between(900, 60_000)),
		_duration_and_rows($pattern, $micros, $number, $failed, $random),
		_blocks($pattern, $random),
		_jit($pattern, $random),
		($failed ? _error($pattern, $random) : ()),
		serverRole => json_text($role),
		($number % 4 == 2 ? _trace($random) : ()));
}

sub _identity
{
	my ($pattern) = @_;
	return
	  map { $_ => json_text($pattern->{$_}) }
	  qw(queryId dbName dbUser dbOperation app queryText);
}

sub _duration_and_rows
{
	my ($pattern, $micros, $number, $failed, $random) = @_;
	my $literal = $number % 3 == 0 ? int $micros : json_fraction($micros);
	$literal = json_quoted($literal) if $number % 7 == 4;
	my $user = int($micros * (0.2 + 0.6 * $random->fraction));
	return (
		durationUs => $literal,
		rows => $failed
		? 0
		: int($pattern->{totalRows} / $pattern->{callCount}),
		cpuUserTimeUs => $user,
		cpuSysTimeUs => json_fraction($user * 0.0271));
}

sub _blocks
{
	my ($pattern, $random) = @_;
	my $calls = $pattern->{callCount};
	my $hit = int($pattern->{totalSharedBlksHit} /
		  $calls * $random->log_between(0.5, 2));
	my $read = int($pattern->{totalSharedBlksRead} /
		  $calls * $random->log_between(0.5, 2));
	my $wal =
	  int($pattern->{totalWalBytes} / $calls * $random->log_between(0.5, 2));
	my $spilled =
	  $pattern->{avgDurationUs} > 500_000 ? $random->between(0, 4000) : 0;
	my $written = $wal ? $random->between(1, 9) : 0;
	return (
		sharedBlksHit => $hit,
		sharedBlksRead => $read,
		sharedBlksWritten => 0,
		sharedBlksDirtied => $written,
		sharedBlkReadTimeUs => json_fraction($read * 83.25),
		sharedBlkWriteTimeUs => 0,
		(map { ("localBlks$_" => 0) } qw(Hit Read Written Dirtied)),
		tempBlksRead => $spilled,
		tempBlksWritten => $spilled,
		tempBlkReadTimeUs => json_fraction($spilled * 21.75),
		tempBlkWriteTimeUs => json_fraction($spilled * 34.5),
		walRecords => $written,
		walBytes => $wal,
		walFpi => $wal > 8192 ? 1 : 0);
}

# Only long executions are compiled and get parallel workers.
sub _jit
{
	my ($pattern, $random) = @_;
	my $long = $pattern->{avgDurationUs} > 500_000;
	my $functions = $long ? $random->between(4, 60) : 0;
	my $planned = $long ? 2 : 0;
	return (
		jitFunctions => $functions,
		jitGenerationTimeUs => json_fraction($functions * 61.125),
		jitInliningTimeUs => 0,
		jitOptimizationTimeUs => json_fraction($functions * 402.5),
		jitEmissionTimeUs => json_fraction($functions * 511.75),
		jitDeformTimeUs => json_fraction($functions * 12.5),
		parallelWorkersPlanned => $planned,
		parallelWorkersLaunched => $planned && $random->between(1, $planned));
}

sub _error
{
	my ($pattern, $random) = @_;
	my ($sqlstate, $message) =
	  @{ $pattern->{error} // $random->pick(@ERRORS) };
	return (
		errMessage => json_text($message),
		errSqlstate => json_text($sqlstate),
		errElevel => $ERROR_LEVEL);
}

sub _trace
{
	my ($random) = @_;
	return (
		traceId => json_text($random->hex_digits(32)),
		spanId => json_text($random->hex_digits(16)));
}

1;
