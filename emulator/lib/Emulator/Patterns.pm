# The slow query patterns of one service: made from the seed, with the irregular
# number formats of the API, and rendered once.
package Emulator::Patterns;

use strict;
use warnings;

use Digest::MD5 qw(md5);
use Encode      qw(encode_utf8);
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

sub new
{
	my ($class, $seed, $service, $index, $count, $overrides) = @_;
	my $self = bless {
		seed => $seed,
		service => $service,
		overrides => $overrides // {},
		sorted => {}
	}, $class;
	my $number = 0;
	$self->{all} = [ map { $self->_pattern($_, $number++, $index) }
		  $self->_statements($count) ];
	return $self;
}

# Makes patterns of rows that have all fields but the rendered JSON, and a number.
sub of_rows
{
	my ($class, @rows) = @_;
	for my $row (@rows)
	{
		$row->{measured} = { %$row{ @DURATIONS, @COUNTERS } };
		$row->{json} = _render($row, $row->{number});
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
	$joint{json} = _render(\%joint, 0);
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

sub _pattern
{
	my ($self, $statement, $number, $index) = @_;
	my $pattern = $self->_measured($statement, $number);
	$pattern = {%EXAMPLE} if $self->{service} eq 'orders' && $number == 0;
	$pattern->{number} = $number;
	my $oddity = $number && $number + $index;
	delete $pattern->{app}
	  if $oddity % 13 == 6 && $pattern->{app} ne 'bin/monitor';
	# Executions keep the values that the row loses below.
	$pattern->{measured} = { %$pattern{ @DURATIONS, @COUNTERS } };
	$pattern->{totalWalBytes} = undef if $oddity % 11 == 8;
	delete $pattern->{totalCpuTimeUs} if $oddity % 17 == 11;
	my $override = $self->{overrides}{$number} // {};
	@$pattern{ keys %$override } = values %$override;
	$pattern->{json} = _render($pattern, $oddity);
	return $pattern;
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

# The number "oddity" selects the irregularities of a row; 0 is a row with integers
# only, as documented.  An undefined value is rendered as null, and a field that the
# pattern lacks is omitted.
sub _render
{
	my ($pattern, $oddity) = @_;
	my %literal = map { $_ => json_text($pattern->{$_}) // 'null' }
	  grep { exists $pattern->{$_} } @IDENTITY;
	for my $field (grep { exists $pattern->{$_} } @DURATIONS, @COUNTERS)
	{
		$literal{$field} = 'null';
	}
	for my $field (grep { defined $pattern->{$_} } @DURATIONS)
	{
		$pattern->{$field} = int($pattern->{$field} + 0.5)
		  if $oddity == 0 || $oddity % 7 == 3;
		$literal{$field} =
		  $pattern->{$field} == int $pattern->{$field}
		  ? sprintf('%.0f', $pattern->{$field})
		  : json_fraction($pattern->{$field});
		$literal{$field} = json_quoted($literal{$field}) if $oddity % 7 == 5;
	}
	for my $field (grep { defined $pattern->{$_} } @COUNTERS)
	{
		$literal{$field} = sprintf '%.0f', $pattern->{$field};
		$literal{$field} = json_quoted($literal{$field}) if $oddity % 5 == 2;
	}
	$literal{totalSharedBlksHit} .= '.0'
	  if $oddity % 19 == 16 && $literal{totalSharedBlksHit} =~ /\A\d+\z/;
	return json_row(map { $_ => $literal{$_} } @FIELDS);
}

1;
