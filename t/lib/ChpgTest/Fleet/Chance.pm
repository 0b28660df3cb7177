# Chance from a seed, and durations drawn from distributions that have one.
package ChpgTest::Fleet::Chance;

use strict;
use warnings;

use Digest::MD5 qw(md5 md5_hex);
use Exporter    qw(import);
use List::Util  qw(max min);
use POSIX       qw(erfc floor);

our @EXPORT_OK = qw(begin uniform log_uniform gauss poisson pick chance hash_id distribution draw draw_mixed sampling);

my $TURN = 2 * atan2(0, -1);
my $spare;

# Chance from here on is that of these words.
sub begin
{
	my (@words) = @_;

	srand(unpack('N', md5(join ':', @words)));
	rand for 1 .. 4;
	undef $spare;
	return;
}

sub uniform { my ($least, $most) = @_; return $least + rand() * ($most - $least) }

sub log_uniform { my ($least, $most) = @_; return $least * ($most / $least)**rand }

sub chance { my ($share) = @_; return rand() < $share }

sub pick { my (@of) = @_; return $of[ rand @of ] }

# A standard normal variate, of which Box and Muller make two at a time
sub gauss
{
	if (defined $spare)
	{
		my $kept = $spare;
		undef $spare;
		return $kept;
	}
	my $r = sqrt(-2 * log(1 - rand));
	my $turn = $TURN * rand;
	$spare = $r * sin $turn;
	return $r * cos $turn;
}

# A count with this mean: Poisson, and from 40 on its normal approximation
sub poisson
{
	my ($mean) = @_;

	return 0 if $mean <= 0;
	return max(0, floor($mean + sqrt($mean) * gauss() + 0.5)) if $mean > 40;
	my ($limit, $product, $count) = (exp(-$mean), rand, 0);
	while ($product > $limit)
	{
		$product *= rand;
		$count++;
	}
	return $count;
}

# An id as query ids are: a bigint of either sign, as text
sub hash_id { my (@words) = @_; return unpack 'q', md5(join ':', @words) }

# ---- Durations

# The largest executions of an hour are drawn by their probability to be exceeded: 10 to the power of
# -place / $STEPS.
my $STEPS = 4;
my $PLACES = 36;

# The distribution of a pattern's durations, by its median: log-normal with this sigma, except that a share
# of tail of the executions takes times as long.  Logarithms throughout.
#
#   z    0.5, 0.95 and 0.99 quantiles, and their sampling error for one execution
#   top  for each place: the quantile there, mean and standard deviation of what lies below it
#   mean, cv   mean; standard deviation by mean
sub distribution
{
	my ($sigma, $tail, $times) = @_;
	my $of = { sigma => $sigma, tail => $tail, shift => log $times };
	my $first = exp($sigma**2 / 2) * (1 - $tail + $tail * $times);
	my $second = exp(2 * $sigma**2) * (1 - $tail + $tail * $times**2);

	$of->{mean} = $first;
	$of->{cv} = sqrt($second / $first**2 - 1);
	for my $p (0.5, 0.95, 0.99)
	{
		my $z = _quantile($of, 1 - $p);
		push @{ $of->{z} }, $z;
		push @{ $of->{error} }, sqrt($p * (1 - $p)) / _density($of, $z);
	}
	for my $place (0 .. $PLACES)
	{
		my $above = min(0.8, 10**(-$place / $STEPS));
		my $z = _quantile($of, $above);
		my $mean = _moment($of, $z, 1) / (1 - $above);
		my $square = _moment($of, $z, 2) / (1 - $above);
		push @{ $of->{top} }, [ $z, $mean, sqrt(max(0, $square - $mean**2)) ];
	}
	return $of;
}

sub _above { my ($z) = @_; return 0.5 * erfc($z / sqrt 2) }

# The share of executions beyond z
sub _exceeding
{
	my ($of, $z) = @_;
	return (1 - $of->{tail}) * _above($z / $of->{sigma}) + $of->{tail} * _above(($z - $of->{shift}) / $of->{sigma});
}

sub _density
{
	my ($of, $z) = @_;
	my $bell = sub { exp(-$_[0]**2 / 2) / sqrt $TURN };
	return ((1 - $of->{tail}) * $bell->($z / $of->{sigma}) + $of->{tail} * $bell->(($z - $of->{shift}) / $of->{sigma}))
	  / $of->{sigma};
}

# The mean of the given power of durations, of those below z only
sub _moment
{
	my ($of, $z, $power) = @_;
	my $sigma = $of->{sigma};
	my $below = sub { 1 - _above($_[0] / $sigma - $power * $sigma) };
	return exp($power**2 * $sigma**2 / 2)
	  * ((1 - $of->{tail}) * $below->($z) + $of->{tail} * exp($power * $of->{shift}) * $below->($z - $of->{shift}));
}

sub _quantile
{
	my ($of, $above) = @_;
	my ($low, $high) = (-12 * $of->{sigma}, 12 * $of->{sigma} + $of->{shift});

	for (1 .. 60)
	{
		my $middle = ($low + $high) / 2;
		if (_exceeding($of, $middle) > $above) { $low = $middle }
		else { $high = $middle }
	}
	return ($low + $high) / 2;
}

# Total, greatest, and the quantiles of so many executions with the median exp(mu).  Of many, estimates are
# drawn with their joint sampling error: the greatest first, then the others given that; quantiles with the
# correlations of order statistics.  Fewer than 30 are drawn one by one.
sub draw
{
	my ($of, $count, $mu) = @_;

	return draw_mixed([ $of, $count, $mu ]) if $count < 30;
	my $place = -log(max(-log(1 - rand) / $count, 1e-12)) / log(10) * $STEPS;
	$place = $place < 0 ? 0 : $place > $PLACES - 0.001 ? $PLACES - 0.001 : $place;
	my $low = $of->{top}[$place];
	my $high = $of->{top}[ $place + 1 ];
	my $part = $place - int $place;
	my ($z, $mean, $sd) = map { $low->[$_] + $part * ($high->[$_] - $low->[$_]) } 0 .. 2;
	my $rest = ($count - 1) * $mean + sqrt($count - 1) * $sd * gauss();
	$rest = ($count - 1) * $mean / 5 if $rest < ($count - 1) * $mean / 5;
	my $unit = exp $mu;
	my $greatest = $unit * exp $z;
	my $root = 1 / sqrt $count;
	my $g50 = gauss();
	my $g95 = 0.229 * $g50 + 0.973 * gauss();
	my $g99 = 0.438 * $g95 + 0.899 * gauss();
	my $p50 = $unit * exp($of->{z}[0] + $of->{error}[0] * $root * $g50);
	my $p95 = $unit * exp($of->{z}[1] + $of->{error}[1] * $root * $g95);
	my $p99 = $unit * exp($of->{z}[2] + $of->{error}[2] * $root * $g99);
	$p99 = $greatest if $p99 > $greatest;
	$p95 = $p99 if $p95 > $p99;
	$p50 = $p95 if $p50 > $p95;
	return ($unit * $rest + $greatest, $greatest, $p50, $p95, $p99);
}

# The same of several parts, each [distribution, count, mu]: one by one, of at most some thousand executions
sub draw_mixed
{
	my (@parts) = @_;
	my $all = 0;
	$all += $_->[1] for @parts;
	my $share = $all > 5000 ? 5000 / $all : 1;
	my (@drawn, $total);

	for my $part (@parts)
	{
		my ($of, $count, $mu) = @$part;
		for (1 .. $count * $share)
		{
			push @drawn, exp($mu + $of->{sigma} * gauss() + (rand() < $of->{tail} ? $of->{shift} : 0));
			$total += $drawn[-1];
		}
	}
	@drawn = sort { $a <=> $b } @drawn;
	my @quantiles = map {
		my $place = $_ * $#drawn;
		my $low = $drawn[$place];
		$low + ($place - int $place) * (($drawn[ $place + 1 ] // $low) - $low)
	} 0.5, 0.95, 0.99;
	return ($total * $all / @drawn, $drawn[-1], @quantiles);
}

# The sampling error of the logarithm of the mean of so many executions
sub sampling { my ($of, $count) = @_; return $of->{cv} / sqrt max($count, 1) }

1;
