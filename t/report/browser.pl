# The report as a page: valid HTML, whose tree in Chromium is the one that was written; no script, no request, nothing
# from outside; whatever names and statements say; readable on a phone and by programs that read aloud.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Fleet;
use ChpgTest::Page;
use Encode qw(decode_utf8 encode_utf8);
use Test::More;

needs_page_tools();

my $url = start_emulator();
my $node = start_node('main', "timezone = 'Europe/Berlin'", 'jit = off', 'fsync = off');

# Make a database with a fleet, the last so many hours of which are a bad day, and watch it at the end.
sub fleet
{
	my ($database, %options) = @_;
	my $hours = delete $options{hours} // 14;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION chpg');
	my $fleet = ChpgTest::Fleet->new(run => sub { return $node->safe_psql($database, $_[0]) }, say => sub { note(@_) },
		seed => 7, days => 9, judged => 1, step => 60, patterns => 20, %options);
	$fleet->load->watch_all(only => 'deciding', until => $fleet->{start} + $hours);
	$node->safe_psql($database, q{SELECT _chpg_watch(h, NULL::text, NULL::text)
		FROM (SELECT max(window_end) AS until FROM kept.capture WHERE grain = 'hour') c, generate_series(c.until - interval '6 hours', c.until, '3 hours') h});
	return $database;
}

sub report
{
	my ($database, $arguments) = @_;
	return decode_utf8($node->safe_psql($database, "SELECT chpg_report(@{[ $arguments // '' ]})") . "\n");
}

# Give each service some twins, with other ids and names.
sub multiply
{
	my ($database, $times) = @_;

	$node->safe_psql($database, <<"SQL");
SET session_replication_role = replica;
CREATE TABLE public.twin AS
SELECT k.service_id, k.service_key, left(k.service_id, 20) || translate(to_char(i, 'FM000000'), '0123456789', 'abcdefghij') AS twin_id, 100000 * i + k.service_key AS twin_key, i
FROM kept.service_key k, generate_series(1, $times) i;
INSERT INTO kept.service_key (service_id, service_key) OVERRIDING SYSTEM VALUE SELECT twin_id, twin_key FROM public.twin;
DO \$\$
DECLARE
	t record;
BEGIN
	FOR t IN
		SELECT c.oid::regclass AS name, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns, bool_or(a.attname = 'service_key') AS by_key,
			string_agg(CASE a.attname WHEN 'service_key' THEN 't.twin_key' WHEN 'service_id' THEN 't.twin_id' WHEN 'service_name' THEN 's.service_name || ''-'' || t.i'
				WHEN 'finding_key' THEN 'replace(s.finding_key, t.service_id, t.twin_id)' WHEN 'finding' THEN 'replace(s.finding::text, t.service_id, t.twin_id)::jsonb'
				WHEN 'seal_id' THEN 's.seal_id + 1000000 * t.i'
				ELSE 's.' || quote_ident(a.attname) END, ', ' ORDER BY a.attnum) AS twins
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
		WHERE c.relnamespace = 'kept'::regnamespace AND c.relname = ANY ('{service,capture,open_hour,sealed_hour,day_sum,score_hour,metric_day,limit_day,finding_log,watch_skipped}')
		GROUP BY c.oid
	LOOP
		EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM %s s JOIN public.twin t ON t.%5\$I = s.%5\$I', t.name, t.columns, t.twins, t.name,
			CASE WHEN t.by_key THEN 'service_key' ELSE 'service_id' END);
	END LOOP;
END
\$\$;
DROP TABLE public.twin;
ANALYZE;
SQL
	return;
}

my %page;
fleet('six', services => 3, plants => ['plan flip'], planted_patterns => 30, onsets => [ 2, 6 ]);
my $service = $node->safe_psql('six', 'SELECT service_id FROM fleet.truth ORDER BY service_id LIMIT 1');
$page{six} = report('six');
$page{one} = report('six', "service => '$service'");
$node->safe_psql('postgres', 'CREATE DATABASE fifty TEMPLATE six');
multiply('fifty', 9);
$page{fifty} = report('fifty');
$node->safe_psql('postgres', 'CREATE DATABASE empty');
$node->safe_psql('empty', q{CREATE EXTENSION chpg; SELECT chpg_history_enable('kept')});
$page{empty} = report('empty');
clear_journal($url);
$node->safe_psql('postgres', 'CREATE DATABASE connected');
$node->safe_psql('connected', connect_sql($url));
clear_journal($url);
$page{connected} = report('connected');
is(request_count($url), 0, 'a report sends no request, not even without a history');

# ---- Hostile names and statements

my @HOSTILE = (
	'</style><script>alert(1)</script>', q{"><img src=x onerror=alert(1)> '}, '<!--', ']]>', '&lt;b&gt; &amp; &#60;', 'a & b < c',
	"left\x{202e}thgir\x{2066} \x{200f}", "bell\x07 escape\x1b[31m tab\t line\nfeed delete\x7f C1 \x{9b}31m", "javascript:alert(1)",
	"\x{feff}\x{fffe}\x{2028}", 'x' x 2048, "SELECT '" . 'ü€😀' x 300, "ALTER ROLE r PASSWORD 'seekrit'", '{{7*7}} ${7*7} %3Cscript%3E',
	'</title></head><body onload=alert(1)>', '<svg><a xlink:href="javascript:alert(1)">', "\\u003cscript\\u003e", '--><script>', '',
);
my $list = join ', ', map { s/'/''/gr =~ s/(.*)/E'@{[ $1 =~ s|\\|\\\\|gr ]}'/sr } @HOSTILE;
$node->safe_psql('postgres', 'CREATE DATABASE hostile TEMPLATE six');
$node->safe_psql('hostile', encode_utf8(<<"SQL"));
CREATE TEMP TABLE h AS SELECT t.text, replace(left(t.text, 40), 'seekrit', '***') AS name, i FROM generate_series(0, 999) i,
	LATERAL (SELECT (ARRAY[$list])[1 + i % @{[ scalar @HOSTILE ]}] AS text) t;
UPDATE kept.query_text t SET query_text = h.text || ' ' || t.text_id, query = left(h.text, 100), text_hash = sha256(convert_to(h.text || t.text_id, 'UTF8'))
	FROM (SELECT k.text_id, row_number() OVER (ORDER BY sum(d.total_duration_us) DESC) AS place FROM kept.day_sum d JOIN kept.pattern_key k USING (pattern_key) GROUP BY 1) o
	JOIN h ON h.i = o.place WHERE t.text_id = o.text_id;
UPDATE kept.pattern_key k SET app = h.name, db_user = h.name, db_name = h.name FROM h WHERE h.i = (k.pattern_key * 7) % 997;
UPDATE kept.service s SET service_name = h.name FROM h WHERE h.i = abs(hashtext(s.service_id)) % 3;
UPDATE kept.finding_log l SET service_name = h.name, finding = l.finding || jsonb_build_object('subject', h.text) || (
	SELECT jsonb_object_agg(k, replace(h.text, 'seekrit', '***')) FROM unnest('{title,symptom,action,explanation,next}'::text[]) k) FROM h WHERE h.i = abs(hashtext(l.finding_key)) % 16;
UPDATE kept.capture SET status = 'error', error = (SELECT text FROM h WHERE i = 0) WHERE ctid IN (SELECT ctid FROM kept.capture ORDER BY window_start LIMIT 3);
SQL
$page{hostile} = report('hostile');

# ---- What holds for all of them

my %found = inspect_pages(%page);
for my $name (sort keys %page)
{
	my $found = $found{$name};
	my $tree = eval { written_tree($page{$name}) };
	is($@, '', "$name: all that is written is escaped, and closed");
	is_deeply(same($found->{tree}), same($tree), "$name: Chromium's tree is the one that was written");
	is(listed(@{ $found->{html} }), '', "$name: html-validate finds nothing");
	is(listed(grep { $_->[1] =~ /serious|critical/ } map { @$_ } values %{ $found->{axe} }), '', "$name: axe-core finds nothing serious");
	is("@{ $found->{requests} }", '', "$name: Chromium requests nothing");
	is("@{ $found->{messages} }", '', "$name: and has nothing to complain about");
	is(listed(map { [ $_, @{ $found->{scrolls}{$_} } ] } sort keys %{ $found->{scrolls} }), '', "$name: no window is too narrow for it");

	is_deeply([ grep { !/^#/ } map { @{ $_->[1] }{ grep { /^(?:href|src|action|data|xlink:href|formaction|poster)$/ } keys %{ $_->[1] } } } elements($tree) ], [],
		"$name: nothing refers to anything outside");
	is_deeply([ map { $_->[0] } grep { $_->[0] =~ /^(?:script|iframe|object|embed|link|base|form|img)$/ || grep { /^on/ } keys %{ $_->[1] } } elements($tree) ], [],
		"$name: nothing runs or loads");
	my %ids;
	$ids{$_}++ for grep { defined } map { $_->[1]{id} } elements($tree);
	is_deeply([ grep { $ids{$_} > 1 } sort keys %ids ], [], "$name: ids are unique");
	is_deeply([ grep { !$ids{$_} } map { ($_->[1]{href} // '') =~ /^#(.+)/ ? $1 : () } elements($tree) ], [], "$name: links lead somewhere");
	is(scalar(() = elements($tree, 'style')), 1, "$name: there is one style sheet");
}
is_deeply([ map { $_->[1]{content} } grep { ($_->[1]{'http-equiv'} // '') eq 'Content-Security-Policy' } elements(written_tree($page{six}), 'meta') ],
	["default-src 'none'; style-src 'unsafe-inline'"], 'its policy forbids all but its style');

# It follows the reader's scheme of colors, but for paper, which is white and has no links.
my $looks = $found{six}{looks};
is($looks->{desktop}{ground}, 'rgb(255, 255, 255)', 'its ground is white');
my ($dark) = $looks->{dark}{ground} =~ /^rgb\((\d+), /;
cmp_ok($dark, '<', 64, 'but dark for readers of dark screens');
is($looks->{print}{ground}, 'rgb(255, 255, 255)', 'on paper it is white');
ok($looks->{desktop}{nav} && !$looks->{print}{nav}, 'and links to its sections are on the screen alone');

cmp_ok(length encode_utf8($page{one}), '<', 100_000, 'the report of one service has less than 100 kB');
cmp_ok(length encode_utf8($page{fifty}), '<', 1_000_000, 'and that of fifty less than 1 MB');

# Names and statements are there as texts, but for what could deceive.
my $text = text_of(written_tree($page{hostile}));
for my $hostile (grep { $_ ne '' } @HOSTILE)
{
	my $shown = $hostile =~ s/[\x01-\x08\x0b-\x1f\x7f-\x9f\x{061c}\x{200e}\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}\x{fffe}]/\x{fffd}/gr =~ s/'seekrit'/'***'/r;
	ok(index($text, $shown) >= 0, 'shown as a text: ' . substr($shown, 0, 60) =~ s{[^ -~]}{.}gr);
}
ok(index($page{hostile}, 'seekrit') < 0, 'a password is not shown');

done_testing();

sub listed { return join "\n", map { join ': ', @$_ } @_ }

# A tree without white space at places where a parser has no place for it
sub same
{
	my ($tree) = @_;
	return $tree if !ref $tree;
	my @children = grep { ref || /\S/ || $tree->[0] !~ /^(?:html|head|body)$/ } @{ $tree->[2] };
	return [ $tree->[0], $tree->[1], [ map { same($_) } @children ] ];
}
