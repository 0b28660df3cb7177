# The parser of Prometheus' text format, outside of PostgreSQL: a program made of it
# prints what it parses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use File::Temp;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $ROOT = "$FindBin::RealBin/../..";
my $DATA = "$FindBin::RealBin/../data/prometheus";
my $work = File::Temp->newdir;
my $driver = "$work/driver";

chomp(my $compiler = $ENV{CC} // `pg_config --cc`);
command_ok(
	[
		split(' ', $compiler), qw(-std=gnu99 -g -O2 -Wall -Wextra -Werror), '-o', $driver,
		"$FindBin::RealBin/../prometheus/driver.c", "-I$ROOT/src", map { "$ROOT/src/protocol/$_.c" } qw(exposition prometheus)
	],
	'the parser builds alone, without a warning');

# What the driver prints of a file
sub parse_file
{
	my ($file) = @_;
	my ($out, $err) = run_command([ $driver, $file ]);
	return split /\n/, $out;
}

# The same of a text
sub parse
{
	my ($text) = @_;
	open my $file, '>:raw', "$work/text" or die "could not write: $!";
	print $file $text;
	close $file or die "could not write: $!";
	return parse_file("$work/text");
}

# The samples of a text that is well-formed
sub samples
{
	my ($text) = @_;
	my @lines = parse($text);
	my $end = pop @lines;
	return $end eq 'end' ? [ map { decode_json($_) } @lines ] : $end;
}

# One sample of which only the value and the time matter
sub value_is
{
	my ($written, $value, $time) = @_;
	is_deeply(samples("x $written\n"), [ [ 'x', 'unknown', undef, [], $value, $time ] ],
		"value: $written");
	return;
}

#
# The examples of the format's documentation
#

my @requests = ('http_requests_total', 'counter', 'The total number of HTTP requests.');
my @durations = ('histogram', 'A histogram of the request duration.');
my @rpcs = ('summary', 'A summary of the RPC duration in seconds.');

sub bucket
{
	my ($le, $count) = @_;
	return [ 'http_request_duration_seconds_bucket', @durations, [ [ 'le', $le ] ], $count, undef ];
}

sub quantile
{
	my ($quantile, $value) = @_;
	return [ 'rpc_duration_seconds', @rpcs, [ [ 'quantile', $quantile ] ], $value, undef ];
}

my $documented = [
	[ @requests, [ [ 'method', 'post' ], [ 'code', '200' ] ], '1027', 1395066363000 ],
	[ @requests, [ [ 'method', 'post' ], [ 'code', '400' ] ], '3', 1395066363000 ],
	[
		'msdos_file_access_time_seconds', 'unknown', undef,
		[
			[ 'path', 'C:\\DIR\\FILE.TXT' ],
			[ 'error', "Cannot find file:\n\"FILE.TXT\"" ]
		],
		'1458255915', undef
	],
	[ 'metric_without_timestamp_and_labels', 'unknown', undef, [], '12.470000000000001', undef ],
	[
		'something_weird', 'unknown', undef, [ [ 'problem', 'division by zero' ] ],
		'inf', -3982045
	],
	bucket('0.05', '24054'),
	bucket('0.1', '33444'),
	bucket('0.2', '100392'),
	bucket('0.5', '129389'),
	bucket('1', '133988'),
	bucket('+Inf', '144320'),
	[ 'http_request_duration_seconds_sum', @durations, [], '53423', undef ],
	[ 'http_request_duration_seconds_count', @durations, [], '144320', undef ],
	quantile('0.01', '3102'),
	quantile('0.05', '3272'),
	quantile('0.5', '4773'),
	quantile('0.9', '9001'),
	quantile('0.99', '76656'),
	[ 'rpc_duration_seconds_sum', @rpcs, [], '17560473', undef ],
	[ 'rpc_duration_seconds_count', @rpcs, [], '2693', undef ],
];
my $text = slurp_file("$DATA/documented.prom");

is_deeply(samples($text), $documented, 'the documented scrape');
is_deeply(samples($text =~ s/\n/\r\n/gr), $documented, 'the same with \r\n');
is_deeply(samples($text =~ s/\n\z//r), $documented, 'the same without a last newline');
is_deeply(samples(join "\n", sort { ($a =~ /^#/) <=> ($b =~ /^#/) } split /\n/, $text),
	$documented, 'the same with HELP and TYPE at the end');
is_deeply(samples(join "\n", reverse split /\n/, $text),
	[ reverse @$documented ], 'the same backwards');

is_deeply(
	[ map { "$_->[0] $_->[1] $_->[4] " . ($_->[5] // '-') } @{ samples(slurp_file("$DATA/openmetrics.prom")) } ],
	[
		'acme_http_router_request_seconds_sum summary 9036.3199999999997 -',
		'acme_http_router_request_seconds_count summary 807283 -',
		'acme_http_router_request_seconds_created summary 1605281325 -',
		'go_goroutines gauge 69 1520879607789',
		'process_cpu_seconds_total counter 4200722.46 1520879607000',
		'foo_bucket histogram 8 -',
		'foo_bucket histogram 11 -',
		'foo_bucket histogram 17 1520879607000',
		'foo_bucket histogram 17 -',
		'foo_count histogram 17 -',
		'foo_sum histogram 324789.29999999999 -',
		'build_info info 1 -',
		'feature stateset 1 -',
		'nothing unknown -0 -',
		'queue_bucket gaugehistogram 3 -',
		'queue_gcount gaugehistogram 3 -',
		'queue_gsum gaugehistogram 2 -',
	],
	'OpenMetrics: units, exemplars, times in seconds');

#
# What else is well-formed
#

is_deeply(samples($_->[0]), $_->[1], $_->[2]) for (
	[ '', [], 'an empty text' ],
	[ "\n \n\t\r\n#\n# \n#a comment\n# TYPES of comment", [], 'a text without samples' ],
	[
		"x{} 1\n\t x { } 2 3 \nx{}3\n",
		[
			[ 'x', 'unknown', undef, [], '1', undef ], [ 'x', 'unknown', undef, [], '2', 3 ],
			[ 'x', 'unknown', undef, [], '3', undef ]
		],
		'no labels, and blanks'
	],
	[
		"x{a=\"1\",}1\nx\t{ a = \"\" ,\tb=\"}\" , } 2",
		[
			[ 'x', 'unknown', undef, [ [ 'a', '1' ] ], '1', undef ],
			[ 'x', 'unknown', undef, [ [ 'a', '' ], [ 'b', '}' ] ], '2', undef ]
		],
		'trailing commas, and blanks'
	],
	[
		"# TYPE \"my.metric\" gauge\n# HELP \"my.metric\" it's \"mine\"\n{\"my.metric\", \"my.label\"=\"x\"} 1\n{y=\"z\",\"a\\\"b\"} 2",
		[
			[ 'my.metric', 'gauge', q{it's "mine"}, [ [ 'my.label', 'x' ] ], '1', undef ],
			[ 'a"b', 'unknown', undef, [ [ 'y', 'z' ] ], '2', undef ]
		],
		'quoted names'
	],
	[
		"# HELP x \t\\\\a \\n \\\" b \nx 1\n# HELP y\ny 2\n#HELP z c\nz 3",
		[
			[ 'x', 'unknown', "\\a \n \" b ", [], '1', undef ],
			[ 'y', 'unknown', '', [], '2', undef ],
			[ 'z', 'unknown', 'c', [], '3', undef ]
		],
		'helps'
	],
	[
		"# HELP x a\n# TYPE x gauge\nx{i=\"1\"} 1\n# HELP x a\n# TYPE x gauge\nx{i=\"2\"} 2",
		[
			[ 'x', 'gauge', 'a', [ [ 'i', '1' ] ], '1', undef ],
			[ 'x', 'gauge', 'a', [ [ 'i', '2' ] ], '2', undef ]
		],
		'texts that were joined'
	],
	# A malformed HELP or TYPE affects no sample.
	(
		map { [ "$_\nx{a=\"b\"} 1\n$_", [ [ 'x', 'unknown', undef, [ [ 'a', 'b' ] ], '1', undef ] ], "harmless: $_" ] }
		  '# HELP', '# TYPE', '#HELP ', "# TYPE\t", '# TYPE x', '# TYPE x ', '# TYPE x number', '# TYPE x gauge_histogram',
		'# TYPE x gauge y', '# HELP 1x y', '# HELP x{} y', '# TYPE met-ric gauge', '# TYPE "x"y gauge',
		'# TYPE "x gauge', '# HELP "x\\', '# TYPE "\\x" gauge', "# HELP m\x{C3}\x{A4}h a", '# HELP of nothing at all:', '# TYPE'
	),
	(
		map { [ "# HELP x $_->[0]\nx 1", [ [ 'x', 'unknown', $_->[1], [], '1', undef ] ], "help: $_->[0]" ] }
		  [ 'a\\b', 'a\\b' ], [ 'a\\', 'a\\' ], [ '\\\\', '\\' ], [ '\\\\n', '\\n' ], [ '\\\\\\n', "\\\n" ], [ 'l\\tp', 'l\\tp' ]
	),
	[
		"# HELP x\n# HELP x a\n# TYPE x\n# TYPE x gauge\nx 1\n# HELP \"x\" b\n# TYPE x number\n# HELP x",
		[ [ 'x', 'gauge', 'a', [], '1', undef ] ],
		'the first help that says anything, and the type that is known'
	],
	[
		"# TYPE x_total counter\n# TYPE y gauge_histogram\ny_bucket{le=\"1\"} 2\nx_total 3",
		[ [ 'y_bucket', 'unknown', undef, [ [ 'le', '1' ] ], '2', undef ], [ 'x_total', 'counter', undef, [], '3', undef ] ],
		'a type that nobody knows, beside another family'
	],
	[
		"# TYPE x histogram\n# TYPE x_count gauge\n# TYPE y gauge\n# HELP z the z\nx_count 1\nx_sum 2\nx_total 3\ny_sum 4\nz_sum 5\nx 6\n_sum 7",
		[
			[ 'x_count', 'gauge', undef, [], '1', undef ],
			[ 'x_sum', 'histogram', undef, [], '2', undef ],
			[ 'x_total', 'unknown', undef, [], '3', undef ],
			[ 'y_sum', 'unknown', undef, [], '4', undef ],
			[ 'z_sum', 'unknown', undef, [], '5', undef ],
			[ 'x', 'histogram', undef, [], '6', undef ],
			[ '_sum', 'unknown', undef, [], '7', undef ]
		],
		'families by suffix'
	],
	[
		'x{' . join(',', map { "l$_=\"$_\"" } 1 .. 64) . '} 1',
		[ [ 'x', 'unknown', undef, [ map { [ "l$_", "$_" ] } 1 .. 64 ], '1', undef ] ],
		'as many labels as there may be'
	],
	[
		"x 1 # {a=\"b\"} 2\nx 1 2 # {} 3 4.5",
		[ [ 'x', 'unknown', undef, [], '1', undef ], [ 'x', 'unknown', undef, [], '1', 2 ] ],
		'exemplars'
	]);

value_is('0', '0');
value_is('-0', '-0');
value_is('+1', '1');
value_is('.5', '0.5');
value_is('5.', '5');
value_is('1E+3', '1000');
value_is('1.7976931348623157e308', '1.7976931348623157e+308');
value_is('5e-324', '4.9406564584124654e-324');
value_is('1e-999999999999', '0');
value_is('9007199254740993', '9007199254740992');
value_is('9007199254740993.00000000000000000001', '9007199254740994');
value_is('1' . '0' x 308, '1.0000000000000000e+308' =~ s/\.0+//r);
value_is($_, 'nan') for qw(NaN nan NAN);
value_is($_, 'inf') for qw(Inf +Inf inf +INF Infinity +infinity);
value_is($_, '-inf') for qw(-Inf -inf -Infinity);
value_is('1 9223372036854775807', '1', 9223372036854775807);
value_is('1 -9223372036854775808', '1', -9223372036854775807 - 1);
value_is('1 +5', '1', 5);
value_is('1 -0', '1', 0);

#
# What is malformed: the line, the reason, the line's text
#

my $LONG = "\x{C3}\x{A4}" x 150;

for (
	[ 'x', 1, 'missing value' ],
	[ "a 1\n\n x \nb 2", 3, 'missing value', ' x ' ],
	[ "a 1\r\nx\r\nb 2", 2, 'missing value', 'x' ],
	[ 'x{a="b"}', 1, 'missing value' ],
	[ '{a="b"} 1', 1, 'missing metric name' ],
	[ '{} 1', 1, 'missing metric name' ],
	[ '1x 1', 1, 'invalid metric name' ],
	[ 'met-ric 1', 1, 'invalid metric name' ],
	[ "m\x{C3}\x{A4}h 1", 1, 'invalid metric name' ],
	[ '"x" 1', 1, 'invalid metric name' ],
	[ '{""} 1', 1, 'invalid metric name' ],
	[ '@x{a="b"} 1', 1, 'invalid metric name' ],
	[ 'x{"y"} 1', 1, 'second metric name' ],
	[ '{"x","y"} 1', 1, 'second metric name' ],
	[ 'x{@="b"} 1', 1, 'invalid label name' ],
	[ 'x{1a="b"} 1', 1, 'invalid label name' ],
	[ 'x{a:b="b"} 1', 1, 'missing = after a label name' ],
	[ 'x{a+="b"} 1', 1, 'missing = after a label name' ],
	[ 'x{a} 1', 1, 'missing = after a label name' ],
	[ 'x{""="b"} 1', 1, 'invalid label name' ],
	[ 'x{,} 1', 1, 'invalid label name' ],
	[ 'x{a="b",,} 1', 1, 'invalid label name' ],
	[ 'x{__name__="y"} 1', 1, 'reserved label name' ],
	[ 'x{a="1",b="2",a="3"} 1', 1, 'duplicate label name' ],
	[ 'x{a="1","a"="3"} 1', 1, 'duplicate label name' ],
	[ 'x{a=b} 1', 1, 'missing quote before a label value' ],
	[ 'x{a=} 1', 1, 'missing quote before a label value' ],
	[ 'x{a="b} 1', 1, 'missing closing quote' ],
	[ 'x{a="b\\"} 1', 1, 'missing closing quote' ],
	[ 'x{a="b\\', 1, 'missing closing quote' ],
	[ "x{a=\"new\nline\"} 1", 1, 'missing closing quote', 'x{a="new' ],
	[ 'x{a="\\t"} 1', 1, 'invalid escape sequence' ],
	[ 'x{a="b" c="d"} 1', 1, 'missing , or } after a label' ],
	[ 'x{a="b"+} 1', 1, 'missing , or } after a label' ],
	[ 'x{a="b"', 1, 'missing , or } after a label' ],
	[ 'x{a="b",', 1, 'missing } after the labels' ],
	[ 'x{', 1, 'missing } after the labels' ],
	[ 'x } 1', 1, 'invalid value' ],
	[ 'x{' . join(',', map { "l$_=\"\"" } 1 .. 65) . '} 1', 1, 'too many labels' ],
	(map { [ "x $_", 1, 'invalid value' ] }
		qw(y 1e 1e+ . - + e5 1.2.3 0x1 0x1p-3 1_2 --1 +-1 1f infin in +nan -NaN nan(1) 1e309 -1e400),
		'1,5', '1' . '0' x 1100),
	(map { [ "x 1 $_", 1, 'invalid timestamp' ] }
		qw(2.72 y - + 1e3 9223372036854775808 -9223372036854775809 99999999999999999999 1-)),
	(map { [ "x 1 $_\n# EOF", 1, 'invalid timestamp', "x 1 $_" ] } qw(y NaN +Inf 1e16 -1e300)),
	[ 'x 1 2 3', 1, 'unexpected text after the sample' ],
	[ 'x 1 # a comment', 1, 'missing { after #' ],
	[ 'x 1 # {', 1, 'missing } after the labels' ],
	[ 'x 1 # {} y', 1, 'invalid value' ],
	[ 'x 1 # {"z"} 1', 1, 'second metric name' ],
	[ 'x 1 # {} 1 z', 1, 'invalid timestamp' ],
	[ 'x 1 # {} 1 2 # {} 1', 1, 'unexpected text after the sample' ],
	[ "# TYPE x gauge\nx 1\n# TYPE y gauge\n# TYPE x counter\n", 4, 'second TYPE for the same metric', '# TYPE x counter' ],
	[ "# EOF\n\nx 1", 3, 'text after # EOF', 'x 1' ],
	[ "# EOF\n# EOF", 2, 'text after # EOF', '# EOF' ],
	[ "x 1\n# a\0b", 2, 'NUL byte', "# a\0b" =~ s/\0.*//r ],
	[ "# TYPE x gauge\n" x 65537, 65537, 'too many HELP and TYPE lines', '# TYPE x gauge' ],
	[ $LONG, 1, 'invalid metric name', substr($LONG, 0, 200) ],
	[ "x$LONG", 1, 'invalid metric name', substr("x$LONG", 0, 199) ])
{
	my ($malformed, $line, $reason, $shown) = @$_;
	my $name = substr($malformed, 0, 40) =~ s/([^ -~])/sprintf '\\x%02X', ord $1/ger;

	$shown //= substr $malformed, 0, 200;
	is((parse($malformed))[-1], "error: line $line: $reason: $shown", "$reason: $name");
}

is_deeply(
	[ parse("a 1\nb{ 2\nc 3") ],
	[ '["a","unknown",null,[],"1",null]', 'error: line 2: invalid label name: b{ 2' ],
	'an error is the end');

is_deeply(
	[ parse("# TYPE a\n# HELP\na 1\nb 1 2 3") ],
	[ '["a","unknown",null,[],"1",null]', 'error: line 4: unexpected text after the sample: b 1 2 3' ],
	'of a malformed sample, its own line');

# The output of another implementation, and the time that parsing takes

my ($out, $err) = run_command(
	[ '/usr/bin/python3', "$FindBin::RealBin/../prometheus/random-scrapes", $driver, 10000, 20260525 ]);
like($out, qr/^10000 scrapes, \d{5} samples$/, '10,000 random scrapes come back');
is($err, '', 'without a word');
note($out);

# A fleet: 100 services with 60 series each
open my $fleet, '>', "$work/fleet" or die "could not write: $!";
for my $metric (1 .. 60)
{
	print $fleet "# HELP PostgresServer_Metric${metric}_Total What it counts\n",
	  "# TYPE PostgresServer_Metric${metric}_Total counter\n";
	print $fleet
	  "PostgresServer_Metric${metric}_Total{clickhouse_org=\"c2ba4799-a76e-456f-a71a-b021b1fafe60\",",
	  "postgres_service=\"pg7myrd1j06p3gx4zrm2ze$_\",postgres_service_name=\"service number $_\"} ",
	  $_ * $metric * 1234.5678, "\n"
	  for 1 .. 100;
}
close $fleet or die "could not write: $!";
my ($milliseconds) = run_command([ $driver, '--time', "$work/fleet" ]);
note("$milliseconds ms");
# a few where nothing else runs, and several times as many on a busy machine
cmp_ok($milliseconds, '<', 25, "a fleet's scrape takes less than 25 ms of CPU");

done_testing();
