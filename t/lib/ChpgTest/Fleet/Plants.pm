# Problems that are planted in services: for each kind a strong and a weak one.
package ChpgTest::Fleet::Plants;

use strict;
use warnings;

use Exporter   qw(import);
use List::Util qw(first max min sum0);
use POSIX      qw(floor);

use ChpgTest::Fleet::Chance qw(begin uniform log_uniform pick chance distribution sampling);
use ChpgTest::Fleet::Service;

our @EXPORT_OK = qw(plant kinds);

# Sigma of a service's load, of which an hour and a day vary, and of the executions of a pattern beside that
my $LOAD = sqrt(0.125**2 + 0.07**2);
my $HOUR = 0.10;
# Sigma of what an execution reads, writes and returns
my $COUNTER = 0.05;

# A kind is a function of the service, whether the plant is strong, and the hour of the onset.  It changes the
# service, and returns what it did:
#
#   factor        of what changed
#   patterns      the patterns that have the problem; a finding about one of them names it
#   service, app  whether a finding about the service, or about this application, names it
#   d             function of an hour: logarithm of the factor by its noise (spread and sampling) then; or a
#                 number for the first four hours, where there is no such noise
#   onset         where it is another one
#   creeps, trend, gone   it grows for weeks; it is one of metrics; it shows by what does not run
my %KINDS;

sub kinds { my @sorted = sort keys %KINDS; return @sorted }

# Plant a problem, which begins at a random minute between two hours.  Returns a hash with
# what the kind returned, kind, strength, onset, and d, the distance over the first four whole hours.
sub plant
{
	my ($service, $kind, $strength, $from, $until) = @_;

	begin($service->{seed}, 'plant', $kind, $strength);
	my $at = $from + int(uniform(0, ($until - $from) * 60)) / 60;
	my $truth = $KINDS{$kind}->($service, $strength eq 'strong', $at);
	$truth->{onset} //= $at;
	my $whole = -floor(-$truth->{onset});
	my $d = $truth->{d};
	if (ref $d) { $truth->{d} = sqrt sum0 map { ($d->($_) || 0)**2 } $whole .. $whole + 3 }
	return { %$truth, kind => $kind, strength => $strength, service_id => $service->{id}, judged_at => $whole + 4 };
}

# A weak plant is by 1.3 to 2.
sub _factor { my ($strong, $least, $most) = @_; return $strong ? log_uniform($least // 2.5, $most // 8) : uniform(1.3, 2) }

# One of the patterns that take most time, among those that a function accepts; a new one if there is none.  What is
# planted matters: before it, the pattern takes a thirtieth of the service's time or more, and a minute an hour.  If
# it takes less, it takes longer from the beginning, or (by calls) runs more often.
sub _busy
{
	my ($service, $accepts, %otherwise) = @_;
	my $by = delete $otherwise{by} // 'mu';
	my @fit = sort { ChpgTest::Fleet::Service::time_of($b) <=> ChpgTest::Fleet::Service::time_of($a) }
	  grep { $_->{class} eq 'web' && !defined $_->{from} && $_->{calls} >= 100 && (!$accepts || $accepts->()) } @{ $service->{patterns} };
	my $pattern = @fit ? $fit[ rand min(5, scalar @fit) ] : $service->_add_web(calls => 8000, mu => log 4000, %otherwise);
	my $lacks = max(6e7, $service->busy_time / 30) / ChpgTest::Fleet::Service::time_of($pattern);

	if ($lacks > 1 && $by eq 'calls') { $pattern->{calls} *= $lacks }
	elsif ($lacks > 1) { $pattern->{mu} += log $lacks }
	return $pattern;
}

sub _writer { my ($service) = @_; return _busy($service, sub { $_->{operation} ne 'SELECT' }, operation => 'UPDATE', wal => 2000) }

sub _calls
{
	my ($service, $pattern, $hour) = @_;
	return 0 if $hour >= $service->{end};
	return $pattern->{calls} * exp($pattern->{follows_load} * $service->load($hour));
}

# ---- Distances at an hour

sub _by_time
{
	my ($service, $pattern, $factor) = @_;
	return sub {
		my $n = _calls($service, $pattern, $_[0]);
		return $n < 0.5 ? 0 : log($factor) / sqrt($pattern->{noise}**2 + sampling($pattern->{of}, $n)**2);
	};
}

sub _by_calls
{
	my ($service, $pattern, $factor) = @_;
	return sub {
		my $n = _calls($service, $pattern, $_[0]);
		return abs(log $factor) / sqrt($HOUR**2 + ($pattern->{follows_load} * $LOAD)**2 + 1 / max($n, 0.1));
	};
}

# Of all patterns together
sub _by_latency
{
	my ($service, $factor) = @_;
	return sub { return log($factor) / sqrt(0.03**2 + ($service->{follows} * $LOAD)**2 + $HOUR**2 / 10) };
}

sub _by_counter { my ($factor) = @_; return sub { return log($factor) / $COUNTER } }

# ---- Kinds: one pattern is slower

# Time, and other properties, of one pattern
sub _slower
{
	my ($service, $pattern, $at, $factor, %more) = @_;

	$service->happen(from => $at, patterns => [$pattern], time => $factor, %more);
	return { factor => $factor, patterns => [$pattern], d => _by_time($service, $pattern, $factor) };
}

$KINDS{'missing index'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong, 4, 20);
	return _slower($service, _busy($service, sub { $_->{operation} eq 'SELECT' }), $at, $factor, blocks => $factor**1.5);
};

$KINDS{'plan flip'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	return _slower($service, _busy($service), $at, $factor, blocks => $factor);
};

$KINDS{'lock waits'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	$service->{level}{waits} = 1;
	$service->change_metric($_->[0], $_->[1], $at, sub { $_[0] + 4 * log $factor }) for [qw(lock_waits transactionid)], [qw(wait_events Lock:transactionid)];
	return _slower($service, _writer($service), $at, $factor, cpu => 1 / $factor);
};

$KINDS{'temp spill'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	$service->change_metric('disk_io', 'Writes', $at, sub { $_[0] * $factor });
	return _slower($service, _busy($service, sub { $_->{operation} eq 'SELECT' }), $at, $factor, cpu => 0.7);
};

$KINDS{'slow write'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	return _slower($service, _writer($service), $at, $factor, cpu => $factor**-0.8);
};

$KINDS{'CPU for each execution'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	my $pattern = _busy($service, sub { $_->{cpu} > 0.5 });
	my $time = 1 - $pattern->{cpu} + $pattern->{cpu} * $factor;
	return _slower($service, $pattern, $at, $time, cpu => $factor / $time);
};

$KINDS{'few calls, long'} = sub {
	my ($service, $strong, $at) = @_;
	my $of = $service->add(class => 'report', operation => 'SELECT', app => 'reports', user => 'analyst', calls => uniform(4, 25), mu => 0, rows => 2000, blocks => 200000, miss => 0.05);
	$of->{mu} = log(log_uniform(1e6, 1e7) / $of->{of}{mean});
	return _slower($service, $of, $at, _factor($strong), blocks => 1.5);
};

# The slowest executions alone
$KINDS{'p99 only'} = sub {
	my ($service, $strong, $at) = @_;
	my $pattern = _busy($service, sub { $_->{calls} > 1000 });
	my $of = distribution($pattern->{of}{sigma}, 0.018, exp($pattern->{of}{z}[2]) * _factor($strong, 2.5, 6));
	my $factor = exp($of->{z}[2] - $pattern->{of}{z}[2]);
	$service->happen(from => $at, patterns => [$pattern], of => $of);
	return {
		factor => $factor, patterns => [$pattern],
		d => sub { return log(max(1, $factor)) / sqrt($pattern->{noise}**2 + $pattern->{of}{error}[2]**2 / max(1, _calls($service, $pattern, $_[0]))) } };
};

# The fast executions become as slow as the others: the mean moves, and p99 does not.
$KINDS{'mean only'} = sub {
	my ($service, $strong, $at) = @_;
	my $pattern = _busy($service, sub { $_->{of}{sigma} > 0.8 && $_->{of}{tail} < 0.008 && $_->{calls} > 500 }, of => distribution(1, 0.004, 10));
	my $old = $pattern->{of};
	my $wanted = $strong ? 2.5 : uniform(1.3, 1.8);
	my ($of, $mu, $factor);
	for (my $part = 0.95; $part > 0.1; $part -= 0.05)
	{
		$of = distribution($old->{sigma} * $part, $old->{tail}, exp $old->{shift});
		$mu = $old->{z}[2] - $of->{z}[2];
		$factor = exp($mu) * $of->{mean} / $old->{mean};
		last if $factor >= $wanted;
	}
	$service->happen(from => $at, patterns => [$pattern], of => $of, mu => $mu);
	return { factor => $factor, patterns => [$pattern], d => _by_time($service, $pattern, $factor) };
};

$KINDS{'night only'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	my $pattern = _busy($service);
	$service->happen(from => $at, patterns => [$pattern], time => sub { my $h = $_[0] % 24; return $h >= 22 || $h < 6 ? $factor : 1 });
	my $by_time = _by_time($service, $pattern, $factor);
	my $hour = floor($at) % 24;
	my $first = $hour >= 22 || $hour < 6 ? $at : floor($at) + 22 - $hour;
	return { factor => $factor, patterns => [$pattern], onset => $first, d => sub { my $h = $_[0] % 24; return $h >= 22 || $h < 6 ? $by_time->($_[0]) : 0 } };
};

# ---- Kinds: counters of an execution

$KINDS{'WAL explosion'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong, 4, 15);
	my $pattern = _writer($service);
	# 100 MB an hour
	$pattern->{wal} = max($pattern->{wal}, 1e8 / $pattern->{calls});
	$service->happen(from => $at, patterns => [$pattern], wal => $factor, time => 1.05);
	return { factor => $factor, patterns => [$pattern], d => _by_counter($factor) };
};

$KINDS{'huge result'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong, 10, 100);
	my $pattern = _busy($service, sub { $_->{operation} eq 'SELECT' });
	$pattern->{rows} = max($pattern->{rows}, 20);
	$service->happen(from => $at, patterns => [$pattern], rows => $factor, time => $factor**0.5, blocks => $factor**0.7);
	return { factor => $factor, patterns => [$pattern], d => _by_counter($factor) };
};

# ---- Kinds: how often

$KINDS{'N+1'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong, 12, 40);
	my $pattern = _busy($service, sub { $_->{operation} eq 'SELECT' && $_->{mu} < log 3000 }, operation => 'SELECT', mu => log 300, by => 'calls');
	$service->happen(from => $at, patterns => [$pattern], calls => $factor);
	return { factor => $factor, patterns => [$pattern], d => _by_calls($service, $pattern, $factor) };
};

$KINDS{surge} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong, 4, 10);
	my $pattern = _busy($service);
	$service->happen(from => $at, patterns => [$pattern], calls => $factor);
	return { factor => $factor, patterns => [$pattern], app => $pattern->{app}, d => _by_calls($service, $pattern, $factor) };
};

$KINDS{vanished} = sub {
	my ($service, $strong, $at) = @_;
	my $pattern = $strong ? _busy($service) : $service->_add_web(calls => uniform(8, 40), follows_load => 0.7, mu => log 20000);
	$pattern->{until} = $at;
	return {
		factor => 0, patterns => [$pattern], gone => 1,
		d => sub { my $n = _calls($service, $pattern, $_[0]); return log(1 + $n) / sqrt($HOUR**2 + $LOAD**2 + 1 / max(0.1, $n)) } };
};

$KINDS{'traffic drop'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = 1 / _factor($strong, 5, 30);
	my @all = grep { defined $_->{calls} && $_->{class} !~ /cron|monitor/ } @{ $service->{patterns} };
	$service->happen(from => $at, patterns => \@all, calls => $factor);
	return { factor => $factor, patterns => [], service => 1, app => 'web', gone => 1, d => sub { return abs(log $factor) / sqrt($LOAD**2 + $HOUR**2 / 10) } };
};

# ---- Kinds: new ids

$KINDS{'new heavy query'} = sub {
	my ($service, $strong, $at) = @_;
	my $share = $strong ? uniform(0.4, 1) : uniform(0.06, 0.15);
	my $calls = log_uniform(50, 5000);
	my $pattern = $service->_add_web(operation => 'SELECT', calls => $calls, from => $at);
	$pattern->{mu} = log($service->busy_time * $share / $calls / $pattern->{of}{mean});
	return { factor => 1 + $share, patterns => [$pattern], d => $strong ? 20 : 7 };
};

$KINDS{'new application'} = sub {
	my ($service, $strong, $at) = @_;
	my $share = $strong ? uniform(0.5, 1.2) : uniform(0.1, 0.2);
	my $busy = $service->busy_time;
	my @new = map { $service->_add_web(calls => log_uniform(100, 5000), from => $at, app => 'partner-api', user => 'partner') } 1 .. 5;
	$_->{mu} = log($busy * $share / 5 / $_->{calls} / $_->{of}{mean}) for @new;
	return { factor => 1 + $share, patterns => \@new, app => 'partner-api', d => $strong ? 20 : 7 };
};

$KINDS{'id changed and slower'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = $strong ? 4 : _factor(0);
	my $old = _busy($service);
	my $new = $service->rename_pattern($old, $at, ChpgTest::Fleet::Service::edited($old->{text}));
	$new->{mu} += log $factor;
	$new->{blocks} *= $factor;
	return { factor => $factor, patterns => [ $old, $new ], d => _by_time($service, $new, $factor) };
};

$KINDS{deploy} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = $strong ? 1.45 : 1.15;
	my @web = grep { $_->{class} eq 'web' } @{ $service->{patterns} };
	my @new = map { $service->rename_pattern($_, $at, ChpgTest::Fleet::Service::edited($_->{text})) } @web[ 0 .. min(19, $#web) ];
	$_->{mu} += log $factor for @new;
	return { factor => $factor, patterns => \@new, service => 1, app => 'web', d => _by_latency($service, $factor) };
};

$KINDS{'major upgrade'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	my @slow = (_busy($service), _busy($service));
	my %is_slow = map { $_->{number} => 1 } @slow;
	$service->restart($at);
	push @{ $service->{versions} }, [ ChpgTest::Fleet::stamp(floor $at), $service->{id}, '18' ];
	my @new;
	for my $pattern (grep { $_->{class} ne 'error' } @{ [ @{ $service->{patterns} } ] })
	{
		my $new = $service->rename_pattern($pattern, $at);
		next unless $is_slow{ $pattern->{number} };
		$new->{mu} += log $factor;
		push @new, $new;
	}
	return { factor => $factor, patterns => \@new, service => 1, d => _by_time($service, $new[0], $factor) };
};

# Literals that are not taken for parameters: each hour has statements of its own.
$KINDS{'id churn'} = sub {
	my ($service, $strong, $at) = @_;
	my $texts = $strong ? 30 : 8;
	my $pattern = _busy($service);
	my @new;
	$pattern->{until} = $at;
	for (my $hour = floor $at; $hour < $service->{end}; $hour++)
	{
		push @new, map {
			$service->add(%$pattern, id => undef, text => $pattern->{text} . " /* $hour-$_ */", from => max($at, $hour), until => $hour + 1, calls => $pattern->{calls} / $texts)
		} 1 .. $texts;
	}
	return { factor => $texts, patterns => [ $pattern, @new ], service => 1, app => $pattern->{app}, d => 20 };
};

# ---- Kinds: errors

sub _errors_of
{
	my ($service) = @_;
	my $errors = first { $_->{class} eq 'error' && $_->{app} eq 'web' } @{ $service->{patterns} };
	$errors //= $service->add(class => 'error', calls => 0, text => '', id => 0, operation => 'UNKNOWN', app => 'web', mu => 0, rows => 0, blocks => 0, cpu => 0);
	$errors->{calls} = max($errors->{calls}, 100);
	return $errors;
}

$KINDS{'error burst'} = sub {
	my ($service, $strong, $at) = @_;
	my $errors = _errors_of($service);
	my $all = sum0 map { $_->{app} eq $errors->{app} && $_->{class} eq 'web' ? $_->{calls} : () } @{ $service->{patterns} };
	my $factor = $strong ? max(5, $all * uniform(0.05, 0.3) / $errors->{calls}) : _factor(0);
	$service->happen(from => $at, patterns => [$errors], calls => $factor);
	return { factor => $factor, patterns => [$errors], service => 1, app => $errors->{app}, d => _by_calls($service, $errors, $factor) };
};

$KINDS{deadlocks} = sub {
	my ($service, $strong, $at) = @_;
	my $rate = $strong ? uniform(0.02, 0.1) : uniform(0.002, 0.005);
	my $factor = _factor($strong, 1.5, 3);
	my @writers = (_writer($service), _writer($service));
	my $errors = _errors_of($service);
	$service->change_metric('deadlocks', '', $at, sub { $_[0] + $rate * uniform(0.5, 1.5) });
	$service->happen(from => $at, patterns => \@writers, time => $factor, cpu => 1 / $factor);
	$service->happen(from => $at, patterns => [$errors], calls => 1 + $rate * 3600 / $errors->{calls});
	return { factor => $factor, patterns => [ @writers, $errors ], service => 1, app => $errors->{app}, d => _by_time($service, $writers[0], $factor) };
};

# ---- Kinds: the whole service is slower

sub _all_slower
{
	my ($service, $at, $factor, %more) = @_;

	$service->happen(from => $at, time => $factor, %more);
	return { factor => $factor, patterns => [], service => 1, d => _by_latency($service, $factor) };
}

$KINDS{'evicted cache'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong, 2, 5);
	$service->change_metric('cache_hit_ratio', '', $at, sub { $_[0] - 8 * log $factor });
	$service->change_metric('disk_io', 'Reads', $at, sub { $_[0] * 5 * $factor });
	return _all_slower($service, $at, $factor, read => 20, cpu => 1 / $factor);
};

$KINDS{'I/O stall'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	$service->change_metric('cpu_usage', 'iowait', $at, sub { $_[0] + 12 * log $factor });
	return _all_slower($service, $at, $factor, cpu => 1 / $factor);
};

$KINDS{'CPU saturation'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	$service->change_metric('cpu_usage', 'user', $at, sub { my $free = 98 - 25 * (1 - ($strong ? 0.95 : 0.4)); return max($_[0], $free) });
	return _all_slower($service, $at, $factor);
};

$KINDS{'noisy neighbour'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong, 2, 5);
	$service->change_metric('cpu_usage', 'steal', $at, sub { $_[0] + 15 * log $factor });
	return _all_slower($service, $at, $factor);
};

# ---- Kinds: creeping

sub _creeps
{
	my ($service, $strong, $at, $patterns, @what) = @_;
	# it doubles in 18 days, or in 28 to 35
	my $daily = $strong ? 1.04 : uniform(1.02, 1.025);
	my $since = max($service->{first} + 48, floor($at - log(2) / log($daily) * 24) + 12);
	my $factor = sub { return $daily**max(0, ($_[0] - $since) / 24) };
	$service->happen(from => $since, patterns => $patterns, map { $_ => $factor } @what);
	return { factor => $factor->($at), patterns => $patterns, d => 0, creeps => 1 };
}

$KINDS{'bloat creep'} = sub {
	my ($service, $strong, $at) = @_;
	my $first = _busy($service);
	my @of_table = ($first, grep { $_ != $first && $_->{class} eq 'web' } @{ $service->{patterns} });
	return _creeps($service, $strong, $at, [ @of_table[ 0 .. 2 ] ], qw(time blocks));
};

$KINDS{gradual} = sub {
	my ($service, $strong, $at) = @_;
	return _creeps($service, $strong, $at, [ _busy($service) ], 'time');
};

# ---- Kinds: jobs

$KINDS{'batch grew'} = sub {
	my ($service, $strong, $at) = @_;
	my $factor = _factor($strong);
	my ($hour, $minute) = (int uniform(0, 24), uniform(5, 40));
	my $job = $service->_add_job(operation => 'INSERT', mean => log_uniform(6e7, 1e9), runs => $service->_schedule(hour => $hour, every => 24, minute => $minute, jitter => 2));
	$service->happen(from => $at, patterns => [$job], time => $factor, rows => $factor, blocks => $factor, wal => $factor);
	my $first = first { $job->{runs}{$_} && $_ >= $at } floor($at) .. $service->{end};
	return {
		factor => $factor, patterns => [$job], onset => ($first // floor($at) + 24) + 0.01,
		d => sub { my $h = $_[0] - 1; return $job->{runs}{$h} ? log($factor) / $job->{noise} : 0 } };
};

# ---- Kinds: of metrics

# From then on a metric goes to a limit, and reaches it after so many hours.  It has an effect in the first hours if
# that is within a day.
sub _trend
{
	my ($service, $at, $metric, $series, $factor, $hours, $change) = @_;
	$service->change_metric($metric, $series, $at, $change);
	return { factor => $factor, patterns => [], service => 1, trend => 1, d => $hours <= 24 ? 20 : 0 };
}

$KINDS{'storage trend'} = sub {
	my ($service, $strong, $at) = @_;
	my $hours = $strong ? uniform(10, 24) : uniform(100, 170);
	my $level = $service->{level}{storage} + $service->{level}{growth} * 28;
	return _trend($service, $at, 'disk_usage', 'Used Space', 100 / $level, $hours, sub { return $_[0] + (99.5 - $level) * ($_[1] - $at) / $hours });
};

$KINDS{'connection trend'} = sub {
	my ($service, $strong, $at) = @_;
	my $hours = $strong ? uniform(3, 6) : uniform(20, 36);
	my $max = $service->{max_connections};
	return _trend($service, $at, 'connection_count', 'Total', 1 / $service->{level}{pool}, $hours, sub { return min($max, $_[0] + ($max - $_[0]) * ($_[1] - $at) / $hours) });
};

$KINDS{'memory 97 %'} = sub {
	my ($service, $strong, $at) = @_;
	my $hours = $strong ? 0.1 : uniform(3, 6);
	my $level = $service->{level}{memory};
	return _trend($service, $at, 'memory_usage', 'Used Memory', 97 / $level, $hours, sub { return min(97.5, $_[0] + (97 - $level) * min(1, ($_[1] - $at) / $hours)) });
};

1;
