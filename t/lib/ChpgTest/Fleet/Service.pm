# A service of a fleet: its load, its patterns, what happens to them, and the windows and points that a history
# has of it.  Times are hours since 1970, with fractions.
package ChpgTest::Fleet::Service;

use strict;
use warnings;

use List::Util qw(max min sum0);
use POSIX      qw(floor);
use Scalar::Util qw(reftype);

use ChpgTest::Fleet::Chance qw(begin uniform log_uniform gauss poisson pick chance hash_id distribution draw draw_mixed);

# ---- Distributions, which patterns share: computing one takes a millisecond.

my @INTERACTIVE;
my $OF_JOB = distribution(0.15, 0, 2);

sub _interactive
{
	return pick(@INTERACTIVE) if @INTERACTIVE;
	for my $i (0 .. 39)
	{
		# sigma from 0.5 to 1.5; 0.2 to 3 percent of the executions take 5 to 30 times as long
		push @INTERACTIVE, distribution(0.5 + $i / 39, 0.002 * 15**(($i * 7 % 40) / 39), 5 * 6**(($i * 11 % 40) / 39));
	}
	return pick(@INTERACTIVE);
}

# ---- A service

# Options: number, seed, patterns, first, start (of the judged days) and end (hours), happens (deploys, restarts, gaps
# and unusual days occur)
sub new
{
	my ($class, %options) = @_;
	my $self = bless { effects => {}, metric_effects => [], patterns => [], calendar => {}, %options }, $class;

	_interactive();
	begin($self->{seed}, 'service', $self->{number});
	my $id = join '', map { (qw(a b c d e f g h j k m n p q r s t u v w x y z 2 3 4 5 6 7 8 9))[ rand 31 ] } 1 .. 24;
	$self->{id} = "pg$id";
	$self->{name} = sprintf '%s-%d', pick(qw(orders billing search stock users mail media ledger catalog events)), $self->{number};
	$self->{shape} = pick(qw(office office shop world warehouse));
	$self->{cores} = pick(2, 4, 8, 16);
	$self->{max_connections} = 100 * $self->{cores};
	$self->{follows} = uniform(0.05, 0.35);
	$self->{shift} = pick(0, 0, 1, 6, -7);
	$self->{weekend} = $self->{shape} eq 'office' ? uniform(0.15, 0.5) : $self->{shape} eq 'shop' ? uniform(1, 1.4) : uniform(0.8, 1);
	$self->_make_calendar if $self->{happens};
	$self->_make_load;
	$self->_make_patterns;
	$self->_make_levels;
	$self->_let_happen if $self->{happens};
	return $self;
}

# Note that something happens at an hour, which makes its day another one.
sub _note { my ($self, $hour, $what) = @_; $self->{calendar}{ 24 * floor($hour / 24) }{$what} = 1; return }

# Days that are unlike others: holidays, sales, a month's end, a change of clocks, and the first days of a history
sub _make_calendar
{
	my ($self) = @_;
	my $sells = $self->{shape} eq 'shop' || $self->{shape} eq 'world' && chance(0.3);
	my $closes = $self->{shape} ne 'world' && chance(0.4) ? uniform(1.3, 2) : 0;

	for (my $day = $self->{first}; $day < $self->{end}; $day += 24)
	{
		my $local = floor(($day + 12 + $self->{shift}) / 24);
		my $weekday = ($local + 3) % 7;
		my $begins = 24 * $local - $self->{shift};
		my $tomorrow = (gmtime(($local + 1) * 86400))[3];
		if ($weekday < 5 && chance(1 / 40))
		{
			$self->{holiday}{$local} = 1;
			$self->_note($begins + 12, 'holiday');
		}
		elsif ($sells && chance(1 / 30))
		{
			# at midnight, or with a mail in the morning
			my ($from, $factor) = (pick(0, 0, 9), uniform(2, 3));
			$self->{extra}{ $begins + $_ } = $factor for $from .. 23;
			$self->_note($begins + 12, 'sale');
		}
		elsif ($closes && $tomorrow <= 3)
		{
			# the last two days of a month, and the first one
			$self->{extra}{ $begins + $_ } = $closes**($tomorrow == 2 ? 0.6 : 1) for 0 .. 23;
			$self->_note($begins + 12, "month's end");
		}
		# at one o'clock, UTC, of a Sunday
		if ($weekday == 6 && !$self->{clocks} && chance(1 / 25))
		{
			$self->{clocks} = [ $day + 1, pick(-1, 1) ];
			$self->_note($day, 'clocks');
			$self->_note($day + 24, 'clocks');
		}
	}
	$self->{is_local} = chance(0.5);
	if (chance(1 / 12))
	{
		$self->{begins} = floor($self->{start} + uniform(-6, 2) * 24);
		for (my $day = $self->{first}; $day < $self->{begins} + 168 && $day < $self->{end}; $day += 24)
		{
			$self->_note($day, $day < $self->{begins} ? 'unborn' : 'first days');
		}
	}
	return;
}

sub _shift
{
	my ($self, $hour) = @_;
	my $clocks = $self->{clocks};
	return $clocks && $hour >= $clocks->[0] ? $clocks->[1] : 0;
}

# The part of the mean load at an hour of the week
sub _shape
{
	my ($self, $hour) = @_;
	my $shift = $self->{shift} + $self->_shift($hour);
	my $local = ($hour + $shift) % 24;
	my $bump = sub { my $far = abs($local - $_[0]); $far = 24 - $far if $far > 12; exp(-($far / $_[1])**2 / 2) };
	# 1970 began on a Thursday
	my $day = floor(($hour + $shift) / 24);
	my $weekday = $self->{holiday}{$day} ? 6 : ($day + 3) % 7;
	my $of_day = { office => 0.12 + 1.9 * $bump->(10, 2) + 1.7 * $bump->(15, 2), shop => 0.25 + 1.2 * $bump->(13, 3) + 1.6 * $bump->(20, 2.5),
		world => 0.8 + 0.4 * $bump->(15, 4), warehouse => 0.5 + 0.9 * $bump->(9, 3) + 0.5 * $bump->(2, 2) }->{ $self->{shape} };

	return $of_day * ($weekday >= 5 ? $self->{weekend} : 1) * ($self->{extra}{$hour} // 1);
}

# The logarithms of load and of the latency that all patterns have in common, by hour: the shape, AR(1)
# with phi 0.6 and sigma 0.10, days with sigma 0.07, a trend; latency follows by a power of 0.05 to 0.35.
sub _make_load
{
	my ($self) = @_;
	my $trend = uniform(-0.01, 0.03) / 168;
	my ($near, $of_day) = (0, 0);

	for my $hour ($self->{first} .. $self->{end} - 1)
	{
		$near = 0.6 * $near + 0.10 * gauss();
		$of_day = 0.07 * gauss() if $hour % 24 == 0 || $hour == $self->{first};
		my $load = log($self->_shape($hour)) + $near + $of_day + $trend * ($hour - $self->{first});
		push @{ $self->{load} }, $load;
		push @{ $self->{latency} }, $self->{follows} * $load + 0.03 * gauss();
	}
	return;
}

sub load { my ($self, $hour) = @_; return $self->{load}[ $hour - $self->{first} ] }

# ---- Patterns

my @TABLES = qw(accounts orders order_items customers invoices payments sessions events products stock carts users
  addresses shipments tickets messages documents audit_log subscriptions coupons reviews prices devices readings);
my @COLUMNS = qw(id status created_at updated_at customer_id account_id amount currency kind state owner_id name email
  payload quantity price region version note due_at);

sub _columns { my ($count) = @_; my %seen; return grep { !$seen{$_}++ } map { pick(@COLUMNS) } 1 .. $count }

sub _text
{
	my ($self, $operation) = @_;
	my $table = sprintf '%s_%d', pick(@TABLES), 1 + rand 30;
	my @shown = _columns(2 + rand 6);
	my @by = _columns(1 + rand 3);
	my $where = join ' AND ', map { "$by[$_] = \$" . ($_ + 1) } 0 .. $#by;

	return {
		SELECT => sprintf('SELECT %s FROM %s t%s WHERE %s ORDER BY %s LIMIT $%d', join(', ', map { "t.$_" } @shown), $table,
			chance(0.4) ? sprintf(' JOIN %s j ON j.id = t.%s', pick(@TABLES), pick(@COLUMNS)) : '', $where, pick(@COLUMNS), @by + 1),
		INSERT => sprintf('INSERT INTO %s (%s) VALUES (%s)', $table, join(', ', @shown), join(', ', map { "\$$_" } 1 .. @shown)),
		UPDATE => sprintf('UPDATE %s SET %s WHERE %s', $table, join(', ', map { "$_ = \$9" } @shown), $where),
		DELETE => sprintf('DELETE FROM %s WHERE %s', $table, $where) }->{$operation};
}

# Add a pattern with these properties:
#
#   calls, follows_load   executions an hour at mean load, and the power of the load that they follow
#   runs                  instead: minutes of the runs, by hour
#   of, mu, noise         distribution and median (logarithm) of durations, and sigma of the pattern's hours
#   rows, blocks, miss, wal, cpu   for each execution; of the blocks, and of the time, shares
#   from, until           hours between which it runs, or undef
sub add
{
	my ($self, %given) = @_;
	my $operation = $given{operation} //= pick(qw(SELECT SELECT SELECT INSERT UPDATE DELETE));
	my $number = $self->{next_pattern}++;
	my $pattern = {
		follows_load => 1, follows => 1, noise => 0.10, rows => 1, blocks => 4, miss => 0.001, wal => 0, cpu => 0.8,
		of => undef, database => 'app', user => 'app', app => 'web', text => undef, class => 'web', %given, number => $number };

	$pattern->{text} //= $self->_text($operation);
	$pattern->{id} //= hash_id($self->{seed}, $self->{number}, $number, $pattern->{text});
	$pattern->{of} //= _interactive();
	push @{ $self->{patterns} }, $pattern;
	return $pattern;
}

sub _writes { my ($operation) = @_; return $operation ne 'SELECT' }

sub _add_web
{
	my ($self, %given) = @_;
	my $calls = log_uniform(20, 30000);
	my $operation = pick(qw(SELECT SELECT SELECT SELECT INSERT UPDATE DELETE));
	my $mean = log_uniform(120, 40000);
	my $most = $self->{cores} * 3.6e9 * 0.06;
	$mean = $most / $calls if $mean * $calls > $most;
	my $of = _interactive();
	my $blocks = max(3, $mean / log_uniform(4, 60));

	return $self->add(
		calls => $calls, follows_load => uniform(0.7, 1.2), operation => $operation, of => $of, mu => log($mean / $of->{mean}),
		rows => chance(0.5) ? 1 : log_uniform(1, 60), blocks => $blocks, miss => log_uniform(1e-4, 0.02),
		wal => _writes($operation) ? log_uniform(150, 8000) : 0, cpu => chance(0.05) ? uniform(0.05, 0.2) : uniform(0.4, 0.95), %given);
}

# The minutes of runs, by hour, of a job: each so many hours at an hour and a minute, on days that a function accepts
sub _schedule
{
	my ($self, %at) = @_;
	my %runs;

	for my $hour ($self->{first} .. $self->{end} - 1)
	{
		my $local = $hour + ($self->{is_local} ? $self->_shift($hour) : 0);
		next if ($local - $at{hour}) % $at{every} || $at{on} && !$at{on}->($hour);
		for my $run (0 .. ($at{times} // 1) - 1)
		{
			my $minute = $at{minute} + $run * ($at{apart} // 1) + ($at{jitter} // 0) * gauss();
			my $in = $hour + floor($minute / 60);
			push @{ $runs{$in} }, $minute - 60 * floor($minute / 60);
		}
	}
	return \%runs;
}

sub _add_job
{
	my ($self, %given) = @_;
	my $operation = $given{operation} // pick(qw(SELECT INSERT UPDATE DELETE));
	my $mean = delete $given{mean};
	my $rows = $given{rows} // log_uniform(100, 1e6);

	return $self->add(
		class => 'job', operation => $operation, of => $OF_JOB, mu => log $mean, noise => 0.18, rows => $rows, app => 'jobs', user => 'batch',
		blocks => $mean / log_uniform(8, 60), miss => uniform(0.05, 0.9), wal => _writes($operation) ? $rows * uniform(80, 400) : 0,
		cpu => uniform(0.3, 0.9), %given);
}

# Jobs of all kinds: each minute, each hour or few hours, nightly, weekly, at a month's end; backups, purges
my %JOBS = (
	minutely => sub { my ($self) = @_; $self->add(class => 'cron', calls => 60, follows_load => 0, steady => 1, of => _interactive(), mu => log log_uniform(500, 50000), app => 'jobs', user => 'batch') },
	hourly => sub {
		my ($self) = @_;
		$self->_add_job(mean => log_uniform(2e4, 2e7), runs => $self->_schedule(hour => 0, every => pick(1, 1, 2, 4), minute => 5 * int rand 12, times => pick(1, 1, 2, 5)));
	},
	nightly => sub {
		my ($self) = @_;
		# steps of ETL drift, since each begins when the one before it ends
		$self->_add_job(mean => log_uniform(3e7, 1.5e9), runs => $self->_schedule(hour => pick(0 .. 5), every => 24, minute => rand 60, times => pick(1, 1, 1, 3), apart => 15, jitter => 6));
	},
	weekly => sub {
		my ($self) = @_;
		my $day = pick(0 .. 6);
		$self->_add_job(operation => 'SELECT', mean => log_uniform(5e6, 1.2e9), runs => $self->_schedule(hour => pick(4 .. 8), every => 24, minute => rand 60, times => pick(1, 4), on => sub { (floor($_[0] / 24) + 3) % 7 == $day }));
	},
	monthly => sub {
		my ($self) = @_;
		$self->_add_job(operation => pick(qw(SELECT INSERT)), mean => log_uniform(1e7, 1.8e9), runs => $self->_schedule(hour => pick(1, 22), every => 24, minute => rand 60, times => pick(1, 5), on => sub { (gmtime(($_[0] + 24) * 3600))[3] == 1 }));
	},
	backup => sub {
		my ($self) = @_;
		my $mean = log_uniform(1.2e8, 1.5e9);
		$self->_add_job(operation => 'SELECT', app => 'pg_dump', user => 'backup', text => "COPY public.$TABLES[rand @TABLES] TO stdout", mean => $mean, rows => $mean / 20, blocks => $mean / 150, miss => 0.95,
			runs => $self->_schedule(hour => pick(22, 23, 0 .. 4), every => 24, minute => pick(0, 30), jitter => 2));
	},
	purge => sub {
		my ($self) = @_;
		$self->_add_job(operation => 'DELETE', mean => log_uniform(1e6, 4e8), rows => log_uniform(1e4, 2e6), runs => $self->_schedule(hour => pick(1 .. 5), every => 24, minute => rand 60, jitter => 3, times => pick(1, 10)));
	});

sub _make_patterns
{
	my ($self) = @_;
	my $left = $self->{patterns_wanted};
	my @kinds = $left < 12 ? () : qw(backup nightly nightly hourly minutely purge);
	my $more = int(max(0, $left - 12) * ($self->{shape} eq 'warehouse' ? 0.4 : 0.15));

	push @kinds, pick(keys_sorted(\%JOBS)) for 1 .. $more;
	push @kinds, 'nightly' if $left < 12 && chance(0.5);
	push @kinds, qw(weekly monthly)[rand 2] if $left >= 8;
	$JOBS{$_}->($self) for @kinds;
	$left -= @kinds;
	if ($left > 5)
	{
		$self->add(class => 'monitor', calls => 1800, follows_load => 0, steady => 1, text => "SELECT \$1", mu => log 12, app => 'bin/monitor', user => 'postgres', operation => 'SELECT');
		$left--;
	}
	my @apps = $self->{patterns_wanted} < 12 ? ('web') : qw(web web api worker);
	for my $i (1 .. $left)
	{
		my $app = pick(@apps);
		my @of = (app => $app, user => $app eq 'worker' ? 'worker' : 'app');
		my $draw = $i <= 2 ? 1 : rand;
		# endpoints that few call, and reports of seconds
		if ($draw < 0.12) { $self->_add_web(@of, calls => log_uniform(0.1, 15), class => 'sparse') }
		elsif ($draw < 0.2)
		{
			my $mean = log_uniform(3e5, 1.5e7);
			my $of = _interactive();
			$self->_add_web(@of, calls => log_uniform(0.3, 30), class => 'report', app => 'reports', user => 'analyst', operation => 'SELECT', of => $of, mu => log($mean / $of->{mean}), rows => log_uniform(1, 50000), blocks => $mean / log_uniform(8, 60), miss => uniform(0, 0.3), wal => 0);
		}
		else { $self->_add_web(@of) }
	}
	# errors are recorded apart from their statements, for each application; most have a steady low share
	for my $app (do { my %seen; grep { !$seen{$_}++ } map { $_->{class} eq 'web' ? $_->{app} : () } @{ $self->{patterns} } })
	{
		next if chance(0.3);
		my $calls = sum0 map { $_->{app} eq $app && defined $_->{calls} ? $_->{calls} : () } @{ $self->{patterns} };
		$self->add(class => 'error', calls => $calls * log_uniform(2e-5, 4e-3), text => '', id => 0, operation => 'UNKNOWN', app => $app, user => $app eq 'worker' ? 'worker' : 'app', mu => 0, rows => 0, blocks => 0, cpu => 0);
	}
	return;
}

sub keys_sorted { my ($of) = @_; my @sorted = sort keys %$of; return @sorted }

# Mean time of an hour at mean load, in microseconds
sub time_of { my ($pattern) = @_; return ($pattern->{calls} // 0) * exp($pattern->{mu}) * $pattern->{of}{mean} }

sub busy_time { my ($self) = @_; return sum0 map { $_->{class} eq 'error' ? 0 : time_of($_) } @{ $self->{patterns} } }

# ---- What happens

# From one hour to another, multiply what these patterns (undef: all) do in an execution: time, rows, blocks,
# read (the share of blocks read), wal, cpu (its share of the time); or how often: calls.  of and mu replace the
# distribution, and add to the median.  A factor may be a function of the hour.
sub happen
{
	my ($self, %effect) = @_;

	if (my $only = delete $effect{patterns}) { $effect{only} = { map { $_->{number} => 1 } @$only } }
	for my $hour (max($self->{first}, floor($effect{from})) .. min($self->{end}, $effect{until} // $self->{end}) - 0.0001)
	{
		my $from = max($hour, $effect{from});
		my $part = min($hour + 1, $effect{until} // 9e9) - $from;
		push @{ $self->{effects}{$hour} }, [ \%effect, $part, ($from - $hour) * 60 ] if $part > 0;
	}
	return;
}

# A new id, and maybe text, or other properties, for a pattern from this hour on; returns the new one.
sub rename_pattern
{
	my ($self, $pattern, $at, $text, %other) = @_;
	my $next = $self->add(%$pattern, id => undef, text => $text // $pattern->{text}, %other, from => $at, renames => $pattern);

	$pattern->{until} = $at;
	for my $of_hour (values %{ $self->{effects} })
	{
		for (@$of_hour) { $_->[0]{only}{ $next->{number} } = 1 if $_->[0]{only} && $_->[0]{only}{ $pattern->{number} } }
	}
	return $next;
}

# A text that differs as those of deployments do: a column more, or another condition
sub edited
{
	my ($text) = @_;
	my $column = pick(@COLUMNS);

	return $text =~ s/^SELECT /SELECT t.$column, /r if $text =~ /^SELECT / && chance(0.6);
	return $text =~ s/ WHERE / WHERE $column IS NOT NULL AND /r if $text =~ / WHERE /;
	return $text . " RETURNING $column";
}

sub restart
{
	my ($self, $at) = @_;
	my @cold = ([ 1.7, 25 ], [ 1.3, 8 ], [ 1.1, 3 ]);

	for my $hour (0 .. 2)
	{
		my ($time, $read) = @{ $cold[$hour] };
		$self->happen(from => $at + $hour, until => $at + $hour + 1, time => 1 + ($time - 1) * uniform(0.5, 1.5), read => $read);
	}
	push @{ $self->{restarts} }, $at;
	return;
}

# Deployments on workdays: some patterns, sometimes most, get another text and id, and now and then a small one is
# new.  Applications that name themselves with their version have another name then.
sub deploy
{
	my ($self, $at) = @_;
	my @living = grep { !defined $_->{until} && $_->{class} =~ /web|sparse|report|error/ && (!defined $_->{from} || $self->{names_version}) } @{ $self->{patterns} };
	my $share = pick(0.12, 0.12, 0.12, 0.12, 0.5, 1);
	my $version = sprintf '%d.%d.%d', 1 + $self->{releases} / 40, $self->{releases} % 40, rand 9;

	$self->{releases}++;
	$self->_note($at, $self->{names_version} ? 'version' : $share > 0.12 ? 'large deployment' : 'deployment');
	for my $pattern (@living)
	{
		my $is_edited = chance($share) && $pattern->{class} =~ /web|sparse/;
		my %other = $self->{names_version} ? (app => ($pattern->{app} =~ s{[/ -]?[0-9.]+$}{}r) . "$self->{names_version}$version") : ();
		next unless $is_edited || %other;
		my $next = $self->rename_pattern($pattern, $at, $is_edited ? edited($pattern->{text}) : undef, %other, $is_edited ? () : (id => $pattern->{id}));
		$next->{mu} += 0.05 * gauss() if $is_edited;
		delete $next->{renames};
	}
	$self->_add_web(from => $at, calls => log_uniform(1, 3000), mu => log log_uniform(100, 3000), $self->{names_version} ? (app => "web$self->{names_version}$version") : ()) if chance(0.5);
	return;
}

sub _let_happen
{
	my ($self) = @_;
	my $deploys = $self->{patterns_wanted} >= 8 && chance(0.7);

	$self->{names_version} = pick('/', '-', ' ') if $deploys && chance(0.12);
	$self->{releases} = int rand 40;
	for my $day (0 .. ($self->{end} - $self->{first}) / 24 - 1)
	{
		my $start = $self->{first} + 24 * $day;
		my $weekday = (floor($start / 24) + 3) % 7;
		$self->deploy($start + uniform(7, 17)) if $deploys && $weekday < 5 && chance($self->{names_version} ? 0.4 : 0.2);
		if (chance(0.03))
		{
			$self->restart($start + uniform(0, 24));
			$self->_note($start, 'restart');
		}
		# statements that a person types once
		my $typed = $weekday < 5 && $self->{shape} eq 'office' ? poisson(0.7) : 0;
		for (1 .. $typed)
		{
			my $from = $start + int uniform(7, 17);
			$self->add(class => 'typed', calls => uniform(1, 5), follows_load => 0, from => $from, until => $from + 1, app => 'psql', user => 'analyst', operation => 'SELECT', mu => log log_uniform(1e4, 2e7), rows => log_uniform(1, 10000), blocks => log_uniform(10, 1e5));
		}
	}
	# some windows have more patterns than are kept, some are missing
	my $truncates = $self->{patterns_wanted} >= 30 && chance(0.15);
	for my $hour ($self->{first} .. $self->{end} - 1)
	{
		$self->{lost}{$hour} = 1 if chance(0.002);
		$self->{truncated}{$hour} = uniform(0.8, 0.95) if $truncates && chance(0.06);
	}
	return;
}

# ---- Windows

# The rows of an hour: [pattern, executions, errors, rows, blocks read, hit, WAL, total, greatest, p50, p95, p99, CPU]
sub window
{
	my ($self, $hour) = @_;
	my $at = $hour - $self->{first};
	my $load = $self->{load}[$at];
	my $latency = $self->{latency}[$at];
	my $effects = $self->{effects}{$hour};
	my $growth = 1 + 0.0005 * $at / 24;
	my @rows;

	for my $pattern (@{ $self->{patterns} })
	{
		my $part = 1;
		if (defined $pattern->{from} || defined $pattern->{until})
		{
			my $from = max($hour, $pattern->{from} // $hour);
			$part = min($hour + 1, $pattern->{until} // 9e9) - $from;
			next if $part <= 0;
		}
		if (my $runs = $pattern->{runs})
		{
			my $minutes = $runs->{$hour} or next;
			if ($part < 1)
			{
				$minutes = [ grep { $hour + $_ / 60 >= ($pattern->{from} // 0) && $hour + $_ / 60 < ($pattern->{until} // 9e9) } @$minutes ];
				next unless @$minutes;
			}
			push @rows, $self->_row($pattern, $hour, scalar @$minutes, $growth, 0, $effects, $minutes);
			next;
		}
		my $mean = $pattern->{calls} * $part
		  * ($pattern->{steady} ? 1 : exp($pattern->{follows_load} * $load + 0.10 * gauss()));
		my $row = $self->_row($pattern, $hour, $mean, $growth, $latency, $effects) or next;
		push @rows, $row;
	}
	if (my $share = $self->{truncated}{$hour})
	{
		my @sorted = sort { $b->[7] <=> $a->[7] } @rows;
		my $cutoff = $sorted[ $share * $#sorted ][7];
		$self->{cutoff}{$hour} = $cutoff;
		@rows = grep { $_->[7] >= $cutoff || $_->[2] } @rows;
	}
	return \@rows;
}

# A row, or undef if nothing ran.  mean: executions expected; of a job, those that ran (minutes)
sub _row
{
	my ($self, $pattern, $hour, $mean, $growth, $latency, $effects, $minutes) = @_;
	my %factor;
	my @changed;

	for my $happens ($effects ? @$effects : ())
	{
		my ($effect, $part, $minute) = @$happens;
		next if $effect->{only} && !$effect->{only}{ $pattern->{number} };
		$part = $minutes->[0] >= $minute ? 1 : 0 if $minutes;
		next if $part == 0;
		push @changed, [ $effect, $part ];
	}
	if (grep { $_->[1] < 1 } @changed)
	{
		my @before = $self->_part($pattern, $hour, $mean, $growth, $latency, [ grep { $_->[1] == 1 } @changed ], 1 - $changed[-1][1], $minutes);
		my @after = $self->_part($pattern, $hour, $mean, $growth, $latency, \@changed, $changed[-1][1], $minutes);
		return _joined(grep { defined } $before[0], $after[0]);
	}
	return ($self->_part($pattern, $hour, $mean, $growth, $latency, \@changed, 1, $minutes))[0];
}

sub _part
{
	my ($self, $pattern, $hour, $mean, $growth, $latency, $changed, $share, $minutes) = @_;
	my ($mu, $of) = ($pattern->{mu} + $latency * $pattern->{follows} + $pattern->{noise} * gauss(), $pattern->{of});
	my ($calls, $rows, $blocks, $read, $wal, $cpu) = (1, $pattern->{rows}, $pattern->{blocks} * $growth, $pattern->{miss}, $pattern->{wal}, $pattern->{cpu});

	for my $happens (@$changed)
	{
		my $effect = $happens->[0];
		my $factor = sub { my $f = $effect->{ $_[0] } // return 1; return ref $f ? $f->($hour) : $f };
		$mu += log $factor->('time');
		$calls *= $factor->('calls');
		$rows *= $factor->('rows');
		$blocks *= $factor->('blocks');
		$read *= $factor->('read');
		$wal *= $factor->('wal');
		$cpu *= $factor->('cpu');
		$of = $effect->{of} if $effect->{of};
		$mu += $effect->{mu} if $effect->{mu};
	}
	my $count = $minutes ? int($mean * $calls * $share + 0.5) : $pattern->{steady} ? int($mean * $calls * $share + 0.5) : poisson($mean * $calls * $share);
	return if $count <= 0;
	if ($pattern->{class} eq 'error')
	{
		return [ $pattern, $count, $count, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 ];
	}
	my @time = draw($of, $count, $mu);
	my $spread = $pattern->{noise} * 0.5;
	$blocks *= $count * exp($spread * gauss());
	$read = min(0.98, $read * exp(0.3 * gauss()));
	return [
		$pattern, $count, 0, int($count * $rows * exp($spread * gauss()) + 0.5), int($blocks * $read), int($blocks * (1 - $read)),
		int($count * $wal * exp($spread * gauss())), @time, min(0.98, $cpu * exp(0.05 * gauss())) * $time[0] ];
}

# One row of two, before and after something happened within the hour: quantiles are those of the slower
# part as far as it has that share of the executions, between both otherwise.
sub _joined
{
	my (@rows) = @_;
	return $rows[0] if @rows < 2;
	my ($a, $b) = sort { $a->[9] <=> $b->[9] } @rows;
	my $all = $a->[1] + $b->[1];
	my $slow = $b->[1] / $all;
	my $place = sub {
		my ($above, $index) = @_;
		# of the slower part, the quantile that leaves so much of all above it
		return exp(log(max($a->[$index], 1e-3)) + min(1, $slow / 2 / $above) * log(max($b->[$index], 1e-3) / max($a->[$index], 1e-3)));
	};
	my @sums = map { $a->[$_] + $b->[$_] } 1 .. 7;
	my @quantiles = ($place->(0.5, 9), $place->(0.05, 10), $place->(0.01, 11));
	my $greatest = max($a->[8], $b->[8]);

	return [ $a->[0], @sums, $greatest, (map { min($greatest, $_) } @quantiles), $a->[12] + $b->[12] ];
}

# ---- Metrics

sub _make_levels
{
	my ($self) = @_;

	$self->{level} = {
		cpu => uniform(8, 35), memory => uniform(35, 80), cached => uniform(10, 40), storage => uniform(15, 68),
		growth => log_uniform(0.01, 0.4), saw => chance(0.5) ? uniform(1, 6) : 0, saw_days => pick(1, 1, 7),
		reads => log_uniform(20, 3000), writes => log_uniform(20, 3000), pool => uniform(0.08, 0.35), active => uniform(0.5, 4),
		hit => uniform(97, 99.9), deadlocks => chance(0.2) ? 1 : 0, commits => log_uniform(5, 2000), bytes => log_uniform(1e9, 5e11),
		waits => chance(0.5) ? 1 : 0, busy_hour => pick(0 .. 5) };
	# a service that is to last through a sale has the cores for it
	$self->{level}{cpu} /= max(values %{ $self->{extra} }) if %{ $self->{extra} // {} };
	return;
}

# What a metric changes to: a function of its value and the hour, from an hour on
sub change_metric
{
	my ($self, $metric, $series, $from, $change) = @_;
	push @{ $self->{metric_effects} }, [ $metric, $series, $from, $change ];
	return;
}

# Series: metric, series, unit, and the value of an hour, given the load, the time of day, and noise
my @SERIES = (
	[ 'cpu_usage', 'user', '%', sub { my ($l, $x, $h, $n) = @_; $l->{cpu} * $x * (1 + 0.1 * $n) + ($h % 24 == $l->{busy_hour} ? 20 : 0) } ],
	[ 'cpu_usage', 'system', '%', sub { my ($l, $x, $h, $n) = @_; $l->{cpu} * 0.25 * $x * (1 + 0.1 * $n) } ],
	[ 'cpu_usage', 'iowait', '%', sub { my ($l, $x, $h, $n) = @_; 1 + 0.3 * abs $n + ($h % 24 == $l->{busy_hour} ? 12 : 0) } ],
	[ 'cpu_usage', 'steal', '%', sub { my ($l, $x, $h, $n) = @_; 0.2 * abs $n } ],
	[ 'memory_usage', 'Used Memory', '%', sub { my ($l, $x, $h, $n) = @_; $l->{memory} + 2 * log($x) + $n } ],
	[ 'memory_usage', 'Cache & Buffers', '%', sub { my ($l, $x, $h, $n) = @_; min($l->{cached}, 98 - $l->{memory}) + $n } ],
	[ 'memory_usage', 'Committed Memory', '%', sub { my ($l, $x, $h, $n) = @_; $l->{memory} * 1.1 + 2 * $n } ],
	[ 'disk_usage', 'Used Space', '%', sub { my ($l, $x, $h, $n, $day) = @_; my $period = 24 * $l->{saw_days}; $l->{storage} + $l->{growth} * $day + $l->{saw} * (($h % $period) + $h - int $h) / $period + ($h % 24 == $l->{busy_hour} ? 1.5 : 0) + 0.02 * $n } ],
	[ 'disk_io', 'Reads', 'IOPS', sub { my ($l, $x, $h, $n) = @_; $l->{reads} * $x * exp(0.2 * $n) * ($h % 24 == $l->{busy_hour} ? 6 : 1) } ],
	[ 'disk_io', 'Writes', 'IOPS', sub { my ($l, $x, $h, $n) = @_; $l->{writes} * $x * exp(0.2 * $n) * ($h % 24 == $l->{busy_hour} ? 3 : 1) } ],
	[ 'connection_count', 'Active', 'count', sub { my ($l, $x, $h, $n) = @_; max(0, int($l->{active} * $x * exp(0.3 * $n) + 0.5)) } ],
	[ 'connection_count', 'Total', 'count', sub { my ($l, $x, $h, $n, $day, $s) = @_; int($s->{max_connections} * $l->{pool} * $x**0.4 * (1 + 0.03 * $n) + 0.5) } ],
	[ 'cache_hit_ratio', '', '%', sub { my ($l, $x, $h, $n) = @_; $l->{hit} - 0.2 * abs $n - ($h % 24 == $l->{busy_hour} ? 8 : 0) } ],
	[ 'deadlocks', '', 'deadlocks/s', sub { my ($l, $x, $h, $n) = @_; $l->{deadlocks} && $n > 2.9 ? 0.0033 : 0 } ],
	[ 'transactions', 'Commits', 'count/s', sub { my ($l, $x, $h, $n) = @_; $l->{commits} * $x * (1 + 0.08 * $n) } ],
	[ 'transactions', 'Rollbacks', 'count/s', sub { my ($l, $x, $h, $n) = @_; 0.01 * $l->{commits} * $x * (1 + 0.2 * $n) } ],
	[ 'database_size', 'app', 'bytes', sub { my ($l, $x, $h, $n, $day) = @_; $l->{bytes} * (1 + $l->{growth} / 50 * $day) } ],
	[ 'lock_waits', 'transactionid', 'count', sub { my ($l, $x, $h, $n) = @_; $l->{waits} ? max(0, int($l->{active} * 0.04 * $x + 0.6 * $n)) : undef } ],
	[ 'wait_events', 'Lock:transactionid', 'count', sub { my ($l, $x, $h, $n) = @_; $l->{waits} ? max(0, int($l->{active} * 0.04 * $x + 0.6 * $n)) : undef } ],
	[ 'wait_events', 'IO:DataFileRead', 'count', sub { my ($l, $x, $h, $n) = @_; $l->{waits} ? max(0, int($l->{active} * 0.12 * $x + 0.6 * $n)) : undef } ]);

# The points of a day, a step (in minutes) apart: [metric, series, unit, value...] for each series
sub points
{
	my ($self, $day, $step) = @_;
	my @lines;

	begin($self->{seed}, 'points', $self->{number}, $day);
	my @noise = map { gauss() } 0 .. 4095;
	for my $series (@SERIES)
	{
		my ($metric, $name, $unit, $value) = @$series;
		my @changes = grep { $_->[0] eq $metric && $_->[1] eq $name && $_->[2] < $day + 24 } @{ $self->{metric_effects} };
		my @values;
		my $near = 0;
		for my $i (0 .. 1440 / $step - 1)
		{
			my $hour = $day + $i * $step / 60;
			last if $hour >= $self->{end};
			next if $hour < ($self->{begins} // 0);
			my $x = exp($self->{load}[ $hour - $self->{first} ]);
			# half of the noise goes on for some points
			$near = 0.8 * $near + 0.42 * $noise[ rand 4096 ];
			my $v = $value->($self->{level}, $x, $hour, 0.7 * ($near + $noise[ rand 4096 ]), ($hour - $self->{first}) / 24, $self) // last;
			for my $change (@changes) { $v = $change->[3]->($v, $hour, $self->{level}) if $hour >= $change->[2] }
			for my $at (@{ $self->{restarts} // [] })
			{
				$v *= $metric eq 'connection_count' && $hour - $at < 0.2 ? 0.1 : $metric eq 'memory_usage' ? 0.6 + 0.13 * ($hour - $at) : 1
				  if $hour >= $at && $hour < $at + 3;
			}
			$v = 0 if $v < 0;
			$v = 100 if $unit eq '%' && $v > 100;
			push @values, $v;
		}
		push @lines, [ $metric, $name, $unit, @values ] if @values;
	}
	return @lines;
}

1;
