# The report's charts: what they draw, of hostile values too, and colors that all readers can tell apart.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use List::Util qw(max min);
use Test::More;

my $node = start_node('main', "timezone = 'Europe/Berlin'");
$node->safe_psql('postgres', 'CREATE EXTENSION chpg');

# ---- Lines

# A sparkline from Monday noon on, an hour between values
sub sparkline
{
	my ($values, $low, $high, $marks) = map { $_ // 'NULL' } @_[ 0 .. 3 ];
	return $node->safe_psql('postgres', <<"SQL");
SELECT _chpg_report_sparkline('title'::text, '2026-06-01 12:00+02', '1 hour', $values, $low, $high, $marks\::_chpg_report_mark[])
SQL
}

sub path
{
	my ($svg, $class) = @_;
	return $svg =~ /<path class="\Q$class\E" d="([^"]*)"/ ? $1 : undef;
}

is(path(sparkline("'{1,2,NULL,2}'"), 'line'), 'M1 25l0 0 2-23M6 2h2', 'a gap breaks a line, and a point between gaps is a step wide');
is(path(sparkline("'{2,1}'", "'{1,1}'", "'{2,2}'"), 'band'), 'M0 2H1l2 0h1V25h-1l-2 0h-1z', 'a band is what is between two lines');
like(sparkline("'{1,3}'", "'{1,1}'", "'{2,2}'"), qr/class="now high"/, 'a last value above the band is marked');
like(sparkline("'{3,1}'", "'{1,1}'", "'{2,2}'"), qr/class="now"/, 'and one within is not');
like(sparkline("'{1,5,3}'"), qr{<desc>From 2026-06-01 12:00 to 2026-06-01 15:00, the highest at 2026-06-01 13:00\.</desc>},
	'it says in words when it is highest');
like(sparkline($_), qr{<desc>No value is known\.</desc></svg>$}, "nothing is drawn of $_") for "'{}'", 'NULL', "'{NaN,NULL}'";

my $marked = sparkline("'{1,2,3,4}'", undef, undef, <<'SQL');
ARRAY[ROW('2026-06-01 14:00+02', 'deploy', '3 of <web>'), ROW('2026-06-01 15:00+02', 'onset', NULL), ROW('infinity', 'x', 'y'),
	ROW(NULL, 'x', 'y'), ROW('2026-06-02 15:00+02', 'x', 'y')]
SQL
is(join(' ', $marked =~ /<path class="(?:mark|onset)" d="(.*?)"/g), 'M4 0V48 M6 0V48', 'marks stand at their time; others are left out');
like($marked, qr{<title>2026-06-01 14:00: 3 of &lt;web&gt;</title>}, 'and say what happened');

my $week = sparkline("array_fill(1.0, '{168}') || array_fill(9.0, '{1}')");
my @steps = path($week, 'line') =~ /-?\d+/g;
cmp_ok(@steps / 2, '<=', 61, 'a week has as many points as can be seen');
is(min(@steps), -41, 'and its one high hour remains');

# ---- Hostile values

my $HOSTILE = q('{1,NaN,Infinity,-Infinity,1e308,-5,NULL,1e-320,2}'::float8[]);
my $stacked = stack("ROW('a', '#a', $HOSTILE), ROW('b', NULL, $HOSTILE)");
for my $svg (sparkline($HOSTILE, $HOSTILE, $HOSTILE), $stacked)
{
	my @paths = $svg =~ / d="([^"]*)"/g;
	cmp_ok(scalar @paths, '>=', 2, 'hostile values are drawn');
	is(join('', grep { !/^[-MVHlhz0-9 ]+$/ } @paths), '', 'by whole numbers');
	unlike($svg, qr/NaN|inf/i, 'and no number is not one');
}
like($stacked, qr{>1000T</text>}, 'what is too high ends at the highest tick');
is($node->safe_psql('postgres', q{SELECT string_agg(coalesce(substring(_chpg_report_bar('x', v, 80)::text FROM 'bar[^"]*|NULL') || ' '
	|| substring(_chpg_report_bar('x', v, 80)::text FROM 'part" width="([^"]*)'), 'none'), ', ' ORDER BY n)
	FROM unnest('{0,12.34,80,250,-3,Infinity,NaN,NULL}'::float8[]) WITH ORDINALITY u(v, n)}),
	'bar 0, bar 12.3, bar full 80, bar full 100, bar 0, bar full 100, none, none', 'bars are from 0 to 100 % long');

# ---- Stacked areas

# A stacked chart from Monday noon on, an hour between values
sub stack
{
	my ($series, $settings) = @_;
	return $node->safe_psql('postgres', ($settings // '') . <<"SQL");
SELECT _chpg_report_stack('title'::text, 'unit'::text, '2026-06-01 12:00+02', '1 hour', ARRAY[$series]::_chpg_report_series[],
	ARRAY[ROW('2026-06-01 13:00+02', 'deploy', '3 of <web>')]::_chpg_report_mark[])
SQL
}

my $two = stack("ROW('small', '#s', '{1,1,NULL,1}'), ROW('<large>', NULL, '{3,3,NULL,NULL}')");
is(path($two, 'series1'), 'M0 100H1l2 0h1V400H0zM6 400H7h1V400H6z', 'the largest is the lowest; an hour of which nothing is known is a gap');
is(path($two, 'series2'), 'M0 0H1l2 0h1V400H0zM6 300H7h1V400H6z', 'where another has a value, no value is 0');
is(join('|', map { s/<[^>]+>//gr } $two =~ m{<li>(.*?)</li>}g), '&lt;large&gt; 67 %|small 33 %|A 2026-06-01 13:00 3 of &lt;web&gt;',
	'legend and marks are lists');
like($two, qr{<a href="#s">small</a>}, 'a name may lead to another place of the page');

my $many = stack(join ', ', map { "ROW('s$_', NULL, '{$_,$_}')" } 1 .. 12);
is(join(' ', $many =~ m{<li>.*?<span>(.*?)</span>}g), 's12 s11 s10 s9 s8 s7 s6 all others', 'seven series and a rest');
is(join(' ', $many =~ /<path class="series(\d)/g), '8 7 6 5 4 3 2 1', 'are painted from the uppermost');
is(join(' ', stack("ROW(NULL, NULL, '{9}'), ROW('a', NULL, '{1}')") =~ m{<li>.*?<span>(.*?)</span>}g), 'a all others', 'what has no name is the rest');
like(stack(''), qr{^<figure class="stack"><figcaption>title</figcaption><p class="axis">[^<]+</p></figure>$}, 'without values there is no drawing');
unlike($many . $two, qr/style=|<script|(?:href|src)="[^#]/, 'nothing refers to anything outside');

# Ticks are local midnights, also where a day has 23 hours: Berlin's clocks go forward on 29 March 2026.
my $march = $node->safe_psql('postgres', q{SELECT string_agg(label || ' ' || to_char(at AT TIME ZONE 'UTC', 'DD HH24'), ', ' ORDER BY at)
	FROM _chpg_report_time_ticks('2026-03-28 00:00+01', '71 hours')});
is($march, 'Sat 28 27 23, Sun 29 28 23, Mon 30 29 22, Tue 31 30 22', 'days begin at midnight, whatever the clocks do');
like(stack("ROW('a', NULL, '{1,1,1}')", "SET timezone = 'Asia/Kathmandu';"), qr{times in Asia/Kathmandu</p>.*>16:00</text>},
	'times are those of the session');
is($node->safe_psql('postgres', q{SELECT string_agg(_chpg_report_ticks(v)::text, ' ' ORDER BY v) FROM unnest('{0,0.003,1,7.2,99,1e15}'::float8[]) v}),
	'{0,0.25,0.5,0.75,1} {0,0.001,0.002,0.003} {0,0.25,0.5,0.75,1} {0,2,4,6,8} {0,25,50,75,100} '
	  . '{0,250000000000000,500000000000000,750000000000000,1000000000000000}', 'ticks are round numbers');

# ---- Colors

# Machado, Oliveira and Fernandes (2009): what readers without one kind of cones see, in linear RGB
my %SEEN = (
	all => [ [ 1, 0, 0 ], [ 0, 1, 0 ], [ 0, 0, 1 ] ],
	'no red' => [ [ 0.152286, 1.052583, -0.204868 ], [ 0.114503, 0.786281, 0.099216 ], [ -0.003882, -0.048116, 1.051998 ] ],
	'no green' => [ [ 0.367322, 0.860646, -0.227968 ], [ 0.280085, 0.672501, 0.047413 ], [ -0.011820, 0.042940, 0.968881 ] ],
	'no blue' => [ [ 1.255528, -0.076749, -0.178779 ], [ -0.078411, 0.930809, 0.147602 ], [ 0.004733, 0.691367, 0.303900 ] ],
);

sub linear { return map { my $c = hex($_) / 255; $c <= 0.04045 ? $c / 12.92 : (($c + 0.055) / 1.055)**2.4 } $_[0] =~ /[0-9a-f]{2}/g }
sub luminance { my @c = linear(@_); return 0.2126 * $c[0] + 0.7152 * $c[1] + 0.0722 * $c[2] }

sub contrast
{
	my ($less, $more) = sort { $a <=> $b } map { luminance($_) } @_;
	return ($more + 0.05) / ($less + 0.05);
}

# CIELAB, in which a distance of 2 can just be seen
sub lab
{
	my ($color, $seen) = @_;
	my @in = linear($color);
	my @c = map { my $row = $_; max(0, min(1, $row->[0] * $in[0] + $row->[1] * $in[1] + $row->[2] * $in[2])) } @{ $SEEN{$seen} };
	my ($x, $y, $z) = map { $_ > 0.008856 ? $_**(1 / 3) : 7.787 * $_ + 16 / 116 } (0.4124 * $c[0] + 0.3576 * $c[1] + 0.1805 * $c[2]) / 0.95047,
	  0.2126 * $c[0] + 0.7152 * $c[1] + 0.0722 * $c[2], (0.0193 * $c[0] + 0.1192 * $c[1] + 0.9505 * $c[2]) / 1.08883;
	return (116 * $y - 16, 500 * ($x - $y), 200 * ($y - $z));
}

sub distance
{
	my ($one, $other, $seen) = @_;
	my @one = lab($one, $seen);
	my @other = lab($other, $seen);
	return sqrt(($one[0] - $other[0])**2 + ($one[1] - $other[1])**2 + ($one[2] - $other[2])**2);
}

my $style = $node->safe_psql('postgres', 'SELECT _chpg_report_chart_style()');
my @colors = $style =~ /--series\d: (#[0-9a-f]{6})/g;
is(scalar @colors, 16, 'eight colors for light, and eight for dark');
for my $scheme ([ light => '#ffffff', @colors[ 0 .. 7 ] ], [ dark => '#14181d', @colors[ 8 .. 15 ] ])
{
	my ($name, $ground, @series) = @$scheme;
	cmp_ok(min(map { contrast($_, $ground) } @series), '>=', 3, "$name: all have a contrast of 3 with the ground");
	for my $seen (sort keys %SEEN)
	{
		my @distances = map { my $i = $_; map { distance($series[$i], $series[$_], $seen) } 0 .. $i - 1 } 1 .. 7;
		cmp_ok(min(@distances), '>=', 20, "$name: readers with cones ($seen) tell them apart");
	}
	cmp_ok(min(map { abs((lab($series[$_], 'all'))[0] - (lab($series[ $_ + 1 ], 'all'))[0]) } 0 .. 6), '>=', 10, "$name: neighbors differ in lightness");
}

done_testing();
