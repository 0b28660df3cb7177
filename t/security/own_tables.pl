# The extension's own tables: a role with all privileges on them, by default privileges
# or by GRANT ALL ON ALL TABLES, runs no code with the rights of others.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $node = start_node('main');

# Default privileges

sql(q{CREATE ROLE app LOGIN; CREATE SCHEMA attic AUTHORIZATION app; GRANT USAGE ON SCHEMA attic TO PUBLIC; CREATE SCHEMA chpg; GRANT USAGE ON SCHEMA chpg TO PUBLIC});
foreach my $what ('TABLES', 'FUNCTIONS', 'TYPES')
{
	sql("ALTER DEFAULT PRIVILEGES GRANT ALL ON $what TO $_") foreach 'app', 'PUBLIC';
}
sql('ALTER DEFAULT PRIVILEGES IN SCHEMA chpg GRANT ALL ON TABLES TO app; CREATE EXTENSION chpg SCHEMA chpg');
is(sql(q{SELECT string_agg(DISTINCT a.privilege_type, ' ') FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'chpg'::regnamespace AND c.relkind IN ('r', 'v') AND a.grantee <> c.relowner}),
	'SELECT', 'default privileges give only reading of its tables and views');
is(sql(q{SELECT count(*) FROM pg_proc p WHERE pronamespace = 'chpg'::regnamespace AND has_function_privilege('app', oid, 'EXECUTE') AND NOT has_function_privilege('public', oid, 'EXECUTE')}),
	0, 'and no function that PUBLIC may not execute');
isnt(sql(q{SELECT count(*) FROM pg_proc p WHERE pronamespace = 'chpg'::regnamespace AND NOT has_function_privilege('public', oid, 'EXECUTE')}),
	0, 'of which there are some');
sql(q{ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM app; ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC});

# Privileges that are granted later

sql(q{ALTER DATABASE postgres SET search_path = public, chpg; GRANT ALL ON ALL TABLES IN SCHEMA chpg TO app; GRANT EXECUTE ON FUNCTION chpg.chpg_mute, chpg.chpg_unmute TO app; CREATE TABLE public.ran (who name, what text); GRANT ALL ON ran TO PUBLIC});
as_role('app', q{CREATE FUNCTION attic.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.ran VALUES (current_user, TG_RELNAME); RETURN coalesce(NEW, OLD); END $$;
	CREATE FUNCTION attic.plant(place text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('CREATE TRIGGER planted BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION attic.fires()', place); END $$});

my $MUTE = q{SELECT chpg_mute('CHPG301:x', 'wont_fix')};
my @APP = (extra_params => [ '-U', 'app' ]);
as_role('app', $MUTE);
as_role('app', "SELECT attic.plant('chpg_finding_mute')");
my $error = fails_with($node, $MUTE, '55000', qr/table "chpg_finding_mute" has a trigger "planted", which chpg did not create/, 'a mute by the role that made a trigger of the table', @APP);
fails_with($node, $MUTE, '55000', qr/has a trigger "planted"/, 'a mute by another role');
fails_with($node, q{SELECT chpg_unmute('CHPG301:x')}, '55000', qr/has a trigger "planted"/, 'the end of a mute', @APP);
fails_with($node, q{INSERT INTO chpg_finding_mute_dump VALUES ('CHPG301:y', 'wont_fix', 'of a dump', 'app', now(), 'infinity')}, '55000', qr/has a trigger "planted"/, 'a mute of a dump');
my ($hint) = $error =~ /^HINT:  Run: (DROP TRIGGER .*);$/m;
sql($hint);
as_role('app', $MUTE);
as_role('app', q{CREATE TABLE attic.holds (finding_key text REFERENCES chpg_finding_mute)});
fails_with($node, q{SELECT chpg_unmute('CHPG301:x')}, '55000', qr/table "chpg_finding_mute" has a foreign key of table "holds", which chpg did not create/, 'a foreign key', @APP);
as_role('app', 'DROP TABLE attic.holds');

# A transaction with an old snapshot of the catalogs does not miss a trigger, nor can
# one be created meanwhile.
my $session = open_session($node, @APP);
in_session($session, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_trigger");
as_role('app', "SELECT attic.plant('chpg_finding_mute')");
in_session($session, $MUTE);
like($session->{stderr}, qr/ERROR:  55000: table "chpg_finding_mute" has a trigger "planted"/, 'a trigger that was created after the snapshot');
in_session($session, 'ROLLBACK');
sql($hint);
foreach my $call ($MUTE, q{SELECT chpg_unmute('CHPG301:x')})
{
	in_session($session, "BEGIN; $call");
	fails_with($node, "SET lock_timeout = '100ms'; SELECT attic.plant('chpg_finding_mute')", '55P03', qr/lock timeout/, 'a trigger that is created after the check', @APP);
	in_session($session, 'ROLLBACK');
}
$session->quit;

as_role('app', "SELECT attic.plant('chpg_history_schema')");
fails_with($node, $_, '55000', qr/table "chpg_history_schema" has a trigger "planted", which chpg did not create/, $_)
  foreach q{SELECT chpg_history_enable('kept')}, q{SELECT chpg_history_enable('kept', owner => 'app')}, 'SELECT chpg_history_disable()';
sql('DROP TRIGGER planted ON chpg_history_schema');

# All of them can be published: each has a replica identity.
sql(q{SET client_min_messages = error; CREATE PUBLICATION everything FOR ALL TABLES});
sql(qq{$MUTE; SELECT chpg_unmute('CHPG301:x'); SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '3' WHERE name = 'recapture'; SELECT chpg_history_purge(); SELECT chpg_history_disable()});
is(sql('SELECT count(*) FROM chpg_history_schema'), 0, 'where all tables are published, a history begins and ends');

is(sql('SELECT count(*) FROM ran'), 0, 'no planted function has run');

done_testing();
