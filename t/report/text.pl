# The report as text: the verdict comes first, no line is longer than 100 characters, and it says the same as the page.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Fleet;
use Encode qw(decode_utf8 encode_utf8);
use List::Util qw(max);
use Test::More;


my $url = start_emulator();
my $node = start_node('main', "timezone = 'Europe/Berlin'", 'jit = off', 'fsync = off');
$node->safe_psql('postgres', connect_sql($url));

sub text_report
{
	my ($arguments, $settings) = @_;
	return decode_utf8($node->safe_psql('postgres', ($settings // '') . "SELECT chpg_report_text(@{[ $arguments // '' ]})"));
}

# The lines of a section, without those that continue it
sub section
{
	my ($text, $title) = @_;
	return $text =~ /^\Q$title\E\n(.*?)(?=^[A-Z ]+\?$|\z)/ms ? $1 : undef;
}

# ---- Without a history

clear_journal($url);
like(text_report(), qr/^There is nothing to report from/, 'without a history there is nothing to report from');
is(request_count($url), 0, 'and no request is sent');

# ---- A bad day

my $fleet = ChpgTest::Fleet->new(run => sub { return $node->safe_psql('postgres', $_[0]) }, say => sub { note(@_) },
	seed => 7, services => 2, days => 9, judged => 1, step => 60, patterns => 12, plants => ['missing index'], planted_patterns => 20, onsets => [ 2, 6 ]);
$fleet->load->watch_all(only => 'deciding', until => $fleet->{start} + 14);
my ($service, $name) = split /\|/, $node->safe_psql('postgres',
	q{SELECT t.service_id, s.service_name FROM fleet.truth t JOIN kept.service s USING (service_id) WHERE t.strength = 'strong' AND s.valid_to = 'infinity'});
clear_journal($url);
my $judged = text_report();
$node->safe_psql('postgres', q{SELECT _chpg_watch(h, NULL::text, NULL::text)
	FROM (SELECT max(window_end) AS until FROM kept.capture WHERE grain = 'hour') c, generate_series(c.until - interval '6 hours', c.until, '3 hours') h});
my $text = text_report();
is(request_count($url), 0, 'a report of a history sends no request');

my $verdict = $node->safe_psql('postgres', q{SELECT (_chpg_report_of(NULL::tstzrange, NULL::text, NULL::tstzrange, NULL::text, false, true)).verdict});
is(join(' ', split /\n/, $text =~ s/\n\n.*//sr), $verdict, 'the first lines are the verdict');
like($verdict, qr/\bwrong\b.*\Q$name\E: slower than before/i, 'which names the service, and the problem');
is(join(' ', grep { /\?$/ } split /\n/, $text),
	'IS ANYTHING WRONG NOW? WHAT CHANGED? HOW IS THE FLEET? WHERE DOES THE TIME GO? WHAT COULD BE BETTER? HOW SURE IS THIS?',
	'it answers the questions of the page');
like(section($text, 'IS ANYTHING WRONG NOW?'), qr/^  (?:ERROR|WARN)  +\Q$name\E: Slower than before, since .*?First step: \w/ms, 'the incident has its onset, and a first step');
like(section($text, 'HOW IS THE FLEET?'), qr/^  service +state .*?^  \Q$name\E +(?:ERROR|WARN) /ms, 'the service that needs most comes first');
like(section($text, 'HOW SURE IS THIS?'), qr/as of 2026-.*Requests: 0\./s, 'it says what it rests on');
like($judged, qr/Findings are those of the last day/, 'without a log, rules judge the last day');
like(text_report("service => '$service'"), qr/^HOW IS THE SERVICE\?\n.*\n  \Q$name\E .*\n\n/m, 'that of a service is about it alone');

# ---- Widths

sub widest { return max map { length } split /\n/, $_[0] }
cmp_ok(widest($_), '<=', 100, 'no line is longer than 100 characters') for $text, $judged;
unlike($text, qr/[^\n\x20-\x7e]/, 'of plain characters');
unlike($text, qr/ $/m, 'without blanks at an end');

is(join('|', split /\n/, $node->safe_psql('postgres', q{SELECT unnest(_chpg_report_wrapped(v, 20)) FROM unnest(ARRAY['one two three four five six', repeat('x', 45) || ' y',
	'a word and then  37.5 ms each', '', '   ', NULL]) v})), 'one two three four|five six|' . 'x' x 20 . '|' . 'x' x 20 . '|xxxxx y|a word and then|37.5 ms each',
	'lines are wrapped between words, not between a number and its unit');

# ---- Hostile texts

$node->safe_psql('postgres', encode_utf8(<<'SQL'));
UPDATE kept.query_text SET query_text = E'SELECT \x1b[31m\u202e\u009b' || repeat('x', 300) || E'\r\n\t' || query_text, query = left(query_text, 100);
UPDATE kept.service SET service_name = E'a\nb\u2066' || repeat('w', 60) || service_id;
UPDATE kept.finding_log l SET finding = l.finding || jsonb_build_object('title', repeat('title ', 50) || E'\u001b', 'symptom', E'one\n\n\u202etwo ' || repeat('y', 250),
	'action', NULL, 'explanation', E'\u0007', 'subject', E'\u0085', 'service_name', E'n\u001b');
SQL
my $hostile = text_report();
unlike($hostile, qr/[^\n\P{C}]|[\x{202a}-\x{202e}\x{2066}-\x{2069}]/, 'no control character and no mark of direction is left');
cmp_ok(widest($hostile), '<=', 100, 'and lines remain short');
is(scalar(() = $hostile =~ /^[A-Z ]+\?$/mg), 6, 'nor does a text look like a section');

done_testing();
