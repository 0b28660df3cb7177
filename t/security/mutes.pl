# Mutes: bounded texts, bounded rows, and keys of findings only.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $node = start_node('main');

sub refuses { my ($call, $state, $message, $name) = @_; return fails_with($node, "SELECT $call", $state, $message, $name, extra_params => [ '-U', 'mallory' ]) }

sql('CREATE EXTENSION chpg; CREATE ROLE mallory LOGIN; CREATE ROLE other LOGIN; GRANT EXECUTE ON FUNCTION chpg_mute, chpg_unmute TO mallory, other');
my $MUTES = 'SELECT count(*) FROM chpg_finding_mute';
my $KEY = 'CHPG301:pg0123456789abcdefghijklmn';

# Notes
refuses("chpg_mute('$KEY', 'wont_fix', repeat('x', 1025))", '22001', qr/argument "note" is too long: 1025 bytes\nHINT:  Give at most 1024 bytes\./, 'a note of more than 1 kB');
refuses("chpg_mute('$KEY', 'wont_fix', repeat('é', 513))", '22001', qr/1026 bytes/, 'bytes count');
like(refuses("chpg_mute('$KEY', repeat('x', 1000000))", '22023', qr/invalid value for "reason"/, 'a reason that is long'), qr/^.{1,2000}$/s, 'is not repeated as a whole');
as_role('mallory', "SELECT chpg_mute('$KEY', 'wont_fix', repeat('x', 1024))");
is(sql('SELECT octet_length(note) FROM chpg_finding_mute'), 1024, 'a note of 1 kB');

# Keys: of an existing rule, about a service or about texts, as findings have them
my $ID = '9d3f2e7a-1111-4222-8333-0123456789ab';
refuses("chpg_mute($_, 'wont_fix')", '22023', qr/invalid value for "finding_key"/, "no key: $_") foreach
	q{'CHPG999:x'}, q{'CHPG301'}, q{'CHPG301:'}, q{'CHPG301;x'}, q{'chpg301:x'}, q{'CHPG301:' || repeat('x', 101)}, q{E'CHPG301:a\nb'},
	q{'CHPG101:["a'}, q{'CHPG101:["a"] or more'}, q{'CHPG101:["a","b"]'}, q{'CHPG101:["a", {"b": 1}]'}, q{'CHPG101:[1]'}, q{'CHPG101:[["a"]]'},
	q{'CHPG101:["' || repeat('x', 2048) || '"]'}, q{''};
like(refuses(q{chpg_mute(repeat('x', 1000000), 'wont_fix')}, '22023', qr/invalid value for "finding_key"/, 'a key that is long'), qr/^.{1,2000}$/s, 'is not repeated as a whole');
as_role('mallory', "SELECT chpg_mute($_, 'wont_fix')") foreach
	"'CHPG701:$ID'", q{'CHPG402:skipped'}, "'CHPG402:skipped:$ID'", qq{'CHPG101:["$ID", "123", "db", "user", "a \\"quoted\\" name", null]'}, q{'CHPG101:' || to_jsonb(ARRAY['a', E'b\n', NULL])::text};
is(sql($MUTES), 6, 'keys as findings have them');

# Rows: a thousand for each role; further ones have no effect.
sql('TRUNCATE chpg_finding_mute');
as_role('mallory', "SELECT count(chpg_mute('CHPG301:service ' || n, 'wont_fix')) FROM generate_series(1, 1000) n");
refuses(q{chpg_mute('CHPG301:one more', 'wont_fix')}, '54000', qr/role "mallory" has muted 1000 findings already\nHINT:  End some/, 'the 1001st');
as_role('mallory', q{SELECT chpg_mute('CHPG301:service 1', 'accepted_risk', 'changed')});
is(sql(q{SELECT note FROM chpg_finding_mute WHERE finding_key = 'CHPG301:service 1'}), 'changed', 'an existing mute may be changed');
as_role('other', q{SELECT chpg_mute('CHPG301:of another', 'wont_fix')});
is(sql($MUTES), 1001, 'other roles have their own');
as_role('mallory', q{SELECT chpg_unmute('CHPG301:service 2'); SELECT chpg_mute('CHPG301:one more', 'wont_fix')});
is(sql($MUTES), 1001, 'and ending a mute makes room');
sql(q{UPDATE chpg_finding_mute SET muted_until = now() - interval '1 second' WHERE finding_key ~ '^CHPG301:service'});
as_role('mallory', q{SELECT chpg_mute('CHPG301:after all', 'wont_fix')});
is(sql('SELECT string_agg(finding_key, $$, $$ ORDER BY finding_key) FROM chpg_finding_mute'), 'CHPG301:after all, CHPG301:of another, CHPG301:one more', 'expired mutes are removed');

# Without a history, nothing but time ends a mute.
refuses("chpg_mute('$KEY', 'wont_fix', factor => 2)", '55000', qr/argument "factor" cannot be used without a history: the mute would end by time only\nDETAIL:  There is no history, whose watches end mutes\.\nHINT:  Leave factor out, and give muted_until\./, 'a factor without a history');
like(($node->psql('postgres', "SELECT chpg_mute('$KEY', 'wont_fix')"))[2], qr/NOTICE:  the mute has no end\nDETAIL:  There is no history, whose watches end mutes\.\nHINT:  Give muted_until, or end it with chpg_unmute\./, 'a mute without an end says so');
is(($node->psql('postgres', "SELECT chpg_mute('$KEY', 'wont_fix', muted_until => now() + interval '1 day')"))[2], '', 'one with an end does not');

# Two sessions at once cannot exceed that.
sql('TRUNCATE chpg_finding_mute');
my @sessions = map { open_session($node, extra_params => [ '-U', 'mallory' ]) } 1 .. 2;
in_session($sessions[0], "BEGIN; SELECT count(chpg_mute('CHPG301:service ' || n, 'wont_fix')) FROM generate_series(1, 1000) n");
begin_in_session($sessions[1], q{SELECT chpg_mute('CHPG301:one more', 'wont_fix')});
wait_until(sub { sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted}) eq '1' }, 'the other waits');
in_session($sessions[0], 'COMMIT');
await_in_session($sessions[1], qr/ERROR:  54000: role "mallory" has muted 1000 findings already/);
$_->quit foreach @sessions;
is(sql($MUTES), 1000, 'also with two sessions');

# With a history, mutes are kept there, for every role that may mute: its owner writes them.
sql(q{TRUNCATE chpg_finding_mute; INSERT INTO chpg_finding_mute (finding_key, reason, muted_by) VALUES ('CHPG301:before', 'wont_fix', 'other'); INSERT INTO chpg_threshold VALUES ('CHPG101', 'calls', 7)});
sql(q{CREATE SCHEMA attic2; GRANT TRIGGER ON chpg_threshold TO mallory; GRANT ALL ON SCHEMA attic2 TO mallory});
as_role('mallory', q{CREATE FUNCTION attic2.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$; CREATE TRIGGER t BEFORE DELETE ON chpg_threshold FOR EACH ROW EXECUTE FUNCTION attic2.fires()});
fails_with($node, q{SELECT chpg_history_enable('kept')}, '55000', qr/table "chpg_threshold" has a trigger, rule or foreign key/, 'a trigger on the thresholds is not run');
sql('DROP SCHEMA attic2 CASCADE');
my ($code, $out, $err) = $node->psql('postgres', q{SELECT chpg_history_enable('kept')});
like($err, qr/NOTICE:  schema "kept" has 1 mutes and 1 thresholds now/, 'a history takes over what there is');
is(sql('SELECT finding_key, muted_by, factor FROM kept.finding_mute; SELECT * FROM kept.threshold; SELECT count(*) FROM chpg_finding_mute; SELECT count(*) FROM chpg_threshold'), "CHPG301:before|other|1.5\nCHPG101|calls|7\n0\n0", 'and the tables of the extension are empty');
as_role('mallory', "SELECT chpg_mute('$KEY', 'wont_fix', 'mine')");
is(sql(qq{SELECT muted_by, note FROM kept.finding_mute WHERE finding_key = '$KEY'; $MUTES}), "mallory|mine\n0", 'a role without any privilege on the history mutes there');
is(as_role('mallory', "SELECT _chpg_mutes_of('{$KEY,CHPG301:x}') ? '$KEY', _chpg_mutes_of('{$KEY,CHPG301:x}') ? 'CHPG301:x'"), 't|f', 'and knows of findings whether they are muted');
fails_with($node, $_, '42501', qr/permission denied/, "but not: $_", extra_params => [ '-U', 'mallory' ]) foreach 'SELECT * FROM kept.finding_mute', q{SELECT _chpg_history_mutes('{CHPG301:before}')}, q{SELECT _chpg_history_mute('CHPG301:x', 'wont_fix', NULL, 'other', 'infinity', 2)}, q{SELECT _chpg_history_unmute('CHPG301:before')}, q{SELECT _chpg_mutes_owner()};
as_role('mallory', "SELECT count(chpg_mute('CHPG301:service ' || n, 'wont_fix')) FROM generate_series(1, 999) n");
refuses(q{chpg_mute('CHPG301:one more', 'wont_fix')}, '54000', qr/role "mallory" has muted 1000 findings already/, 'the 1001st');
is(as_role('mallory', "SELECT chpg_unmute('$KEY'), chpg_unmute('$KEY')"), 't|f', 'a mute of the history ends');

# What is planted on its table runs with the rights of nobody.
sql(q{CREATE SCHEMA attic; CREATE FUNCTION attic.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$; CREATE TRIGGER t BEFORE INSERT ON kept.finding_mute FOR EACH ROW EXECUTE FUNCTION attic.fires()});
as_role('mallory', "SELECT chpg_mute('$KEY', 'wont_fix')");
is(sql("SELECT count(*) FROM kept.finding_mute WHERE finding_key = '$KEY'; $MUTES"), "0\n1", 'while the history cannot be used, the extension has the mute');
sql('DROP TRIGGER t ON kept.finding_mute; DROP SCHEMA attic CASCADE; TRUNCATE chpg_finding_mute');

# The history of an ordinary role serves that role only.
sql(q{INSERT INTO chpg_finding_mute (finding_key, reason) VALUES ('CHPG301:kept', 'wont_fix')});
sql(q{SELECT chpg_history_disable(); CREATE ROLE collector LOGIN; SELECT chpg_history_enable('theirs', owner => 'collector'); GRANT EXECUTE ON FUNCTION chpg_mute, chpg_unmute TO collector});
as_role('mallory', "SELECT chpg_mute('$KEY', 'wont_fix')");
is(sql("$MUTES; SELECT count(*) FROM theirs.finding_mute"), "2\n0", 'it takes over no mute, and another role mutes in the extension');
refuses("chpg_mute('$KEY', 'wont_fix', factor => 2)", '55000', qr/DETAIL:  This session cannot use the history, whose watches end mutes\./, 'without what a history knows');
as_role('collector', "SELECT chpg_mute('$KEY', 'wont_fix')");
is(sql("$MUTES; SELECT muted_by FROM theirs.finding_mute"), "2\ncollector", 'its owner in the history');
is(as_role('collector', "SELECT chpg_unmute('$KEY'); SELECT count(*) FROM theirs.finding_mute") . sql($MUTES), "t\n01", 'and unmutes both');

done_testing();
