# The slow query patterns of one service: made from the seed, with the irregular
# number formats of the API.  Their numbers are those of a day of load 1; a window
# has the share of them that Emulator::Load gives it.
package Emulator::Patterns;

use strict;
use warnings;

use Digest::MD5 qw(md5);
use Encode      qw(encode_utf8);
use List::Util   qw(max min);
use Scalar::Util qw(weaken);
use Emulator::Clock qw(parse_time);
use Emulator::Load;
use Emulator::Random;
use Emulator::Row qw(json_row json_text json_fraction json_quoted);
use Emulator::Statements;

# The API's names for sorting, and the fields they mean
our %SORT_FIELD = (
	total_duration => 'totalDurationUs',
	avg_duration => 'avgDurationUs',
	call_count => 'callCount',
	total_blks_read => 'totalSharedBlksRead',
	total_cpu_time => 'totalCpuTimeUs',
	error_count => 'errorCount',
	max_duration => 'maxDurationUs',
	p50_duration => 'p50DurationUs',
	p95_duration => 'p95DurationUs',
	p99_duration => 'p99DurationUs',
	total_rows => 'totalRows',
	total_shared_blks_hit => 'totalSharedBlksHit',
	total_wal_bytes => 'totalWalBytes');

my @IDENTITY = qw(queryId queryText dbName dbUser dbOperation app);
my @DURATIONS = qw(totalDurationUs avgDurationUs maxDurationUs
  p50DurationUs p95DurationUs p99DurationUs totalCpuTimeUs);
my @COUNTERS = qw(callCount errorCount totalRows totalSharedBlksRead
  totalSharedBlksHit totalWalBytes);
my @FIELDS = (
	@IDENTITY, qw(callCount errorCount), @DURATIONS[ 0 .. 5 ],
	qw(totalRows totalSharedBlksRead totalSharedBlksHit
	  totalCpuTimeUs totalWalBytes));
my %IS_IDENTITY = map { $_ => 1 } @IDENTITY;
my %IS_DURATION = map { $_ => 1 } @DURATIONS;
my %IS_BLOCKS = map { $_ => 1 } qw(totalSharedBlksRead totalSharedBlksHit);
my @COUNTED = grep { $_ ne 'callCount' } @COUNTERS;

my $HOUR = 3600;
my $DAY = 86400;

# Calls in a day of patterns that run in each hour
my $OFTEN = 1000;

# The main database of each service; its statements come first.
my %HOME = (
	orders => 'sales',
	billing => 'billing',
	analytics => 'warehouse',
	sessions => 'app',
	inventory => 'catalog',
	search => 'catalog');

# The example of the vendor's guide, word for word
my %EXAMPLE = (
	queryId => '-4748036479882663975',
	queryText => 'SELECT * FROM orders WHERE customer_id = $1'
	  . ' ORDER BY created_at DESC LIMIT $2',
	dbName => 'sales',
	dbUser => 'orders_service',
	dbOperation => 'SELECT',
	app => 'orders-api',
	callCount => 84213,
	errorCount => 0,
	totalDurationUs => 1012384556,
	avgDurationUs => 12021,
	maxDurationUs => 482915,
	p50DurationUs => 9874,
	p95DurationUs => 28431,
	p99DurationUs => 41200,
	totalRows => 842130,
	totalSharedBlksRead => 19284,
	totalSharedBlksHit => 48217734,
	totalCpuTimeUs => 938472113,
	totalWalBytes => 0);

# Windows of a service whose rows are kept
my $MAX_WINDOWS = 32;

# The patterns of a service of the test fleet, for window().  Options: overrides and
# slower, both by the pattern's place
sub new
{
	my ($class, $seed, $service, $index, $count, %options) = @_;
	my $self = bless {
		seed => $seed,
		service => $service,
		overrides => $options{overrides} // {},
		slower => $options{slower} // {},
		# Every other service is used less at weekends.
		load => $index % 2
		? Emulator::Load->new(qw(office office))
		: Emulator::Load->new(qw(shop even)),
		windows => {}
	}, $class;
	my $number = 0;
	$self->{days} = [ map { $self->_of_day($_, $number++, $index) }
		  $self->_statements($count) ];
	return $self;
}

# The patterns that ran in a window; with a query id, those that have it
sub window
{
	my ($self, $from, $to, $query_id) = @_;
	return ref($self)->of_rows(
		grep { defined } $self->_rows($from, $to,
			grep { $self->_has_id($_, $query_id) } @{ $self->{days} }))
	  if defined $query_id;
	$self->{windows} = {} if keys %{ $self->{windows} } >= $MAX_WINDOWS;
	return $self->{windows}{"$from $to"} //= ref($self)->of_rows(
		grep { defined } $self->_rows($from, $to, @{ $self->{days} }));
}

sub _has_id
{
	my ($self, $pattern, $query_id) = @_;
	my $set = $self->{overrides}{ $pattern->{number} } // {};
	return ($set->{queryId} // $pattern->{queryId}) eq $query_id;
}

sub _rows
{
	my ($self, $from, $to, @patterns) = @_;
	my @days = $self->{load}->days($from, $to);
	return map { $self->_row($_, $from, $to, \@days) } @patterns;
}

# Makes patterns of rows that have all fields, and a number.  "measured" has the values
# that a row has lost.
sub of_rows
{
	my ($class, @rows) = @_;
	for my $row (@rows)
	{
		$row->{measured} //= {};
		_round($row);
	}
	return bless { all => \@rows, sorted => {} }, $class;
}

# Dies of a text unless a pattern can have these fields.
sub check_override
{
	my ($name, $place, $fields) = @_;
	my %known = map { $_ => 1 } @FIELDS;
	die "pattern_overrides: \"$name\" needs a place and an object\n"
	  if $place !~ /\A\d+\z/a || ref $fields ne 'HASH';
	for my $field (sort keys %$fields)
	{
		die "pattern_overrides: \"$name\" has no \"$field\"\n"
		  if !$known{$field};
		die "pattern_overrides: \"$name\": $field is no number\n"
		  if !(grep { $_ eq $field } @IDENTITY)
		  && ($fields->{$field} // 0) !~ /\A-?\d+(?:\.\d+)?\z/a;
	}
	return;
}

# Patterns that match the filters (field => value), sorted.
sub select
{
	my ($self, $filters, $sort_by, $order) = @_;
	my @found = @{ $self->_sorted($sort_by, $order) };
	for my $field (keys %$filters)
	{
		my $wanted = $filters->{$field};
		@found =
		  grep { defined $_->{$field} && $_->{$field} eq $wanted } @found;
	}
	return @found;
}

# Dies of a text unless this tells when a pattern became slower.
sub check_slower
{
	my ($name, $place, $change) = @_;
	die "slower: \"$name\" needs a place and an object with since and times\n"
	  if $place !~ /\A\d+\z/a
	  || ref $change ne 'HASH'
	  || join(' ', sort keys %$change) ne 'since times';
	die "slower: \"$name\": since is no time like 2026-06-01T12:00:00.000Z\n"
	  if !defined parse_time($change->{since} // '');
	die "slower: \"$name\": times is no positive number\n"
	  if ($change->{times} // '') !~ /\A\d+(?:\.\d+)?\z/a || $change->{times} == 0;
	return;
}

# One row for patterns that differ in their application only.
sub joined
{
	my (@patterns) = @_;
	return $patterns[0] if @patterns < 2;
	my %joint = %{ $patterns[0] };
	for my $other (@patterns[ 1 .. $#patterns ])
	{
		$joint{$_} += $other->{$_} // 0
		  for @COUNTERS, qw(totalDurationUs totalCpuTimeUs);
		for my $field (
			qw(maxDurationUs p50DurationUs p95DurationUs p99DurationUs))
		{
			$joint{$field} = $other->{$field}
			  if ($other->{$field} // 0) > ($joint{$field} // 0);
		}
	}
	$joint{avgDurationUs} = $joint{totalDurationUs} / ($joint{callCount} || 1);
	delete $joint{json};
	$joint{oddity} = 0;
	_round(\%joint);
	return \%joint;
}

# Ties are broken by number, so that pages never overlap.  Rows without a value
# come last in both directions.
sub _sorted
{
	my ($self, $sort_by, $order) = @_;
	my $field = $SORT_FIELD{$sort_by};
	my $sign = $order eq 'asc' ? 1 : -1;
	return $self->{sorted}{"$sort_by $order"} //= [
		sort {
				 !defined $a->{$field} <=> !defined $b->{$field}
			  or $sign * (($a->{$field} // 0) <=> ($b->{$field} // 0))
			  or $a->{number} <=> $b->{number}
		} @{ $self->{all} }
	];
}

# "count" statements.  When the pool is exhausted it is used again with other
# table names.
sub _statements
{
	my ($self, $count) = @_;
	my @chosen;
	for (my $round = 0; @chosen < $count; $round++)
	{
		my @round = map {
			{ %$_, text => _suffixed($_->{text}, $round) }
		} $self->_ordered_pool;
		splice @round, 3, 0, map {
			{ %$_ }
		  } @Emulator::Statements::EVERYWHERE
		  if $round == 0;
		push @chosen, @round;
	}
	return @chosen[ 0 .. $count - 1 ];
}

sub _ordered_pool
{
	my ($self) = @_;
	my @pool = @Emulator::Statements::POOL;
	my $home = $HOME{ $self->{service} };
	return @pool if ($home // '') eq 'sales';
	@pool =
	  Emulator::Random->new($self->{seed}, $self->{service}, 'pool')
	  ->shuffle(@pool);
	return @pool if !defined $home;
	return (
		(grep { $_->{db} eq $home } @pool),
		(grep { $_->{db} ne $home } @pool));
}

sub _suffixed
{
	my ($text, $round) = @_;
	my $suffix = $round ? sprintf('_p%02d', $round) : '';
	$text =~ s/\{n\}/$suffix/g;
	return $text;
}

# A pattern on a day of load 1
sub _of_day
{
	my ($self, $statement, $number, $index) = @_;
	my $pattern = $self->_measured($statement, $number);
	$pattern = {%EXAMPLE} if $self->{service} eq 'orders' && $number == 0;
	# An execution takes no longer than all of them.
	my $total = $pattern->{totalDurationUs};
	$_ = min($_, $total)
	  for @$pattern{qw(maxDurationUs p50DurationUs p95DurationUs p99DurationUs)};
	$pattern->{number} = $number;
	$pattern->{oddity} = $number && $number + $index;
	my $random =
	  Emulator::Random->new($self->{seed}, $self->{service}, 'course',
		$number);
	$pattern->{phase} = $random->fraction;
	# By hour, its longest execution as a part of the day's longest; rare patterns do
	# not run in each hour.
	$pattern->{longest} = [ (1) x 24 ];
	if ($pattern->{callCount} >= $OFTEN)
	{
		$_ = 0.45 + 0.5 * $random->fraction for @{ $pattern->{longest} };
		$pattern->{longest}[ $random->between(0, 23) ] = 1;
	}
	# Rows have what their executions need.
	weaken(my $patterns = $self);
	$pattern->{at} =
	  sub { $patterns->_row_at($patterns->{days}[$number], $_[0]) };
	$pattern->{call_before} =
	  sub { $patterns->_call_before($patterns->{days}[$number], $_[0]) };
	return $pattern;
}

# The row of a pattern for a window, of which "days" has the days; undef if the pattern
# did not run in it, unless values were set for it.  An event splits the window.
sub _row
{
	my ($self, $pattern, $from, $to, $days) = @_;
	my %sum = (calls => 0, time => 0, longest => 0, map { $_ => 0 } @COUNTED);
	if (my $slower = $self->{slower}{ $pattern->{number} })
	{
		my ($load, $since) = ($self->{load}, parse_time($slower->{since}));
		_add_days(\%sum, $pattern, 1, $load->days($from, min($to, $since)));
		_add_days(\%sum, $pattern, $slower->{times}, $load->days(max($from, $since), $to));
	}
	else
	{
		_add_days(\%sum, $pattern, 1, @$days);
	}
	my $override = $self->{overrides}{ $pattern->{number} };
	return undef if !$sum{calls} && !$override;

	my %row = (%$pattern, callCount => $sum{calls}, map { $_ => $sum{$_} } @COUNTED);
	$row{$_} *= $sum{time} for qw(totalDurationUs totalCpuTimeUs);
	my $slowness = $sum{calls} ? $sum{time} * $pattern->{callCount} / $sum{calls} : 1;
	$row{avgDurationUs} *= $slowness;
	$row{maxDurationUs} = min($row{totalDurationUs}, $row{maxDurationUs} * $sum{longest});
	$row{$_} = min($row{maxDurationUs}, $row{$_} * $slowness)
	  for qw(p50DurationUs p95DurationUs p99DurationUs);
	return _odd(\%row, $override // {});
}

# Adds what a pattern does on the days of a window: its calls, its time and its longest
# execution as parts of those of a day of load 1, and how much its counters grow.
# Executions take "times" as long and read as many more blocks.  All of it follows from
# the number of calls that are done at both ends, so that windows add up.
sub _add_days
{
	my ($sum, $pattern, $times, @days) = @_;
	for my $day (@days)
	{
		my $load = $day->{load};
		my $of_day = _calls_of_day($load, $pattern, $day->{day});
		my ($before, $done) =
		  map { int($of_day * $_ + $pattern->{phase}) } @$day{qw(from to)};
		next if $before == $done;

		my $share = $of_day / $pattern->{callCount};
		my ($begin, $end) = ($before / $of_day, $done / $of_day);
		$sum->{calls} += $done - $before;
		$sum->{time} += $times * $share *
		  ($load->time_after($end, $day->{last}) - $load->time_after($begin, $day->{first}));
		$sum->{longest} = max($sum->{longest},
			map { $times * $_ } @{ $pattern->{longest} }[ $day->{first} .. $day->{last} ]);
		for my $field (grep { $pattern->{$_} } @COUNTED)
		{
			my $whole =
			  int($pattern->{$field} * $share * ($IS_BLOCKS{$field} ? $times : 1) + 0.5);
			$sum->{$field} += int($whole * $end) - int($whole * $begin);
		}
	}
	return;
}

# Each pattern runs on each day.
sub _calls_of_day
{
	my ($load, $pattern, $day) = @_;
	return max(1, int($pattern->{callCount} * $load->of_day($day) + 0.5));
}

# When the latest call of a pattern before a moment was, to the millisecond; undef if
# there was none on this day and the seven before.
sub _call_before
{
	my ($self, $pattern, $time) = @_;
	my $today = int($time / $DAY);
	my $load = $self->{load};
	my $share = $load->calls_until(int(1000 * ($time - $today * $DAY) + 0.5));
	for my $day (map { $today - $_ } 0 .. 7)
	{
		my $calls = _calls_of_day($load, $pattern, $day);
		my $call = int($calls * ($day == $today ? $share : 1) + $pattern->{phase});
		next if $call == 0;
		my $second = $load->second_of(($call - $pattern->{phase}) / $calls);
		return $day * $DAY + int(1000 * $second) / 1000;
	}
	return undef;
}

# The row of the hour of a moment, with all values; undef if the pattern did not run
# in it
sub _row_at
{
	my ($self, $pattern, $time) = @_;
	my $begin = $HOUR * int($time / $HOUR);
	my ($row) = $self->_rows($begin, $begin + $HOUR, $pattern);
	return undef if !defined $row;
	return { %$row, %{ $row->{measured} } };
}

# The row as the API shows it: without some fields, and with the values set.
# Executions keep the values that it loses.
sub _odd
{
	my ($row, $override) = @_;
	my $oddity = $row->{oddity};
	$row->{measured} = {
		map { $_ => $row->{$_} }
		grep { defined $row->{$_} && !$IS_IDENTITY{$_} }
		(qw(totalWalBytes totalCpuTimeUs), keys %$override)
	};
	delete $row->{app}
	  if $oddity % 13 == 6 && $row->{app} ne 'bin/monitor';
	$row->{totalWalBytes} = undef if $oddity % 11 == 8;
	delete $row->{totalCpuTimeUs} if $oddity % 17 == 11;
	@$row{ keys %$override } = values %$override;
	return $row;
}

sub _measured
{
	my ($self, $statement, $number) = @_;
	my $random =
	  Emulator::Random->new($self->{seed}, $self->{service}, 'pattern',
		$number);
	return {
		queryId => query_id(@$self{qw(seed service)}, $statement->{text}),
		queryText => substr($statement->{text}, 0, 2048),
		dbName => $statement->{db},
		dbUser => $statement->{user},
		dbOperation => $statement->{operation},
		app => $statement->{app},
		_counters($statement, $random)
	};
}

sub _counters
{
	my ($statement, $random) = @_;
	my $speed = $Emulator::Statements::SPEED{ $statement->{speed} };
	my $calls = int $random->log_between(@{ $speed->{calls} });
	return (
		(map { $_ => 0 } @DURATIONS, @COUNTERS),
		callCount => $calls,
		errorCount => $calls) if !$speed->{micros};

	my $average = $random->log_between(@{ $speed->{micros} });
	my $writes = $statement->{operation} =~ /INSERT|UPDATE|DELETE/;
	my $rows =
	  $statement->{operation} eq 'UTILITY' ? 0 : $random->log_between(1, 40);
	my $blocks =
	  $statement->{speed} eq 'probe' ? 0 : $average / $random->between(4, 40);
	return (
		callCount => $calls,
		errorCount => $random->chance(0.15)
		? $random->between(1, 1 + $calls / 50)
		: 0,
		totalDurationUs => $average * $calls,
		avgDurationUs => $average,
		maxDurationUs => $average * (4 + 30 * $random->fraction),
		p50DurationUs => $average * (0.6 + 0.3 * $random->fraction),
		p95DurationUs => $average * (1.8 + $random->fraction),
		p99DurationUs => $average * (2.9 + $random->fraction),
		totalRows => int($rows * $calls),
		totalSharedBlksRead => int($blocks * $calls * $random->fraction / 50),
		totalSharedBlksHit => int($blocks * $calls),
		totalCpuTimeUs => $average * $calls *
		  (0.25 + 0.7 * $random->fraction),
		totalWalBytes => $writes
		? int($calls * $random->log_between(90, 9000))
		: 0);
}

# The databases of a service by name, the main one first
sub databases
{
	my ($service) = @_;
	my $home = $HOME{$service} // 'sales';
	my %others = map { $_->{db} => 1 } @Emulator::Statements::POOL;
	delete @others{ $home, 'postgres' };
	return ($home, sort keys %others);
}

# As PostgreSQL's, the identifier depends only on the statement; without a
# statement it is 0.
sub query_id
{
	my ($seed, $service, $text) = @_;
	return '0' if $text eq '';
	return $EXAMPLE{queryId}
	  if $service eq 'orders' && $text eq $EXAMPLE{queryText};
	return unpack('q', md5(encode_utf8("$seed $service $text"))) . '';
}

# The number "oddity" of a row, or its place, selects its irregularities; 0 is a row
# with integers only, as documented.
sub _round
{
	my ($row) = @_;
	my $oddity = $row->{oddity} //= $row->{number};
	return if $oddity != 0 && $oddity % 7 != 3;
	$row->{$_} = int($row->{$_} + 0.5) for grep { defined $row->{$_} } @DURATIONS;
	return;
}

# An undefined value is rendered as null, and a field that the row lacks is omitted.
sub json
{
	my ($row) = @_;
	return $row->{json} //= json_row(map { $_ => _literal($row, $_) } @FIELDS);
}

sub _literal
{
	my ($row, $field) = @_;
	return undef if !exists $row->{$field};
	my ($value, $oddity) = @$row{ $field, 'oddity' };
	return 'null' if !defined $value;
	return json_text($value) if $IS_IDENTITY{$field};
	my $whole = sprintf '%.0f', $value;
	if ($IS_DURATION{$field})
	{
		my $literal = $value == int $value ? $whole : json_fraction($value);
		return $oddity % 7 == 5 ? json_quoted($literal) : $literal;
	}
	return json_quoted($whole) if $oddity % 5 == 2;
	return "$whole.0" if $field eq 'totalSharedBlksHit' && $oddity % 19 == 16;
	return $whole;
}

1;
