# A foreign table of another role may have columns of that role's domains, whose CHECK
# runs the role's code as the reader, as with any foreign-data wrapper. This is
# documented, and so is the protection.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main');

sql(connect_sql($url) . 'CREATE ROLE mallory LOGIN; GRANT USAGE ON FOREIGN SERVER chpg TO mallory; CREATE SCHEMA theirs AUTHORIZATION mallory');
sql(q{
	CREATE FUNCTION theirs.spy(value text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
		RAISE WARNING 'run by %', current_user;
		RETURN true;
	END $$;
	CREATE DOMAIN theirs.name AS text CHECK (theirs.spy(VALUE));
	CREATE FOREIGN TABLE theirs.services (id text, name theirs.name) SERVER chpg OPTIONS (resource 'services');
	GRANT USAGE ON SCHEMA theirs TO PUBLIC;
	GRANT SELECT ON theirs.services TO PUBLIC}, extra_params => [ '-U', 'mallory' ]);
my $me = sql('SELECT current_user');

# The attack
like(notices($node, 'SELECT name FROM theirs.services'), qr/WARNING:  run by \Q$me\E$/m, 'a domain\'s check is run by the reader');
unlike(notices($node, 'SELECT id FROM theirs.services'), qr/run by/, 'unless the column is not read');

# The protection: the setting that pg_dump uses, and tables of one's own
fails_with($node, "SET restrict_nonsystem_relation_kind = 'foreign-table'; SELECT name FROM theirs.services", '55000',
	qr/access to non-system foreign table is restricted/, 'with restrict_nonsystem_relation_kind');
unlike(notices($node, "SET restrict_nonsystem_relation_kind = 'foreign-table'; SELECT name FROM theirs.services"), qr/run by/, 'nothing is run then');
is(sql(q{SET restrict_nonsystem_relation_kind = 'foreign-table'; SELECT count(*) > 0 FROM chpg_services}), 't', 'functions and views of the extension are not restricted');
sql('CREATE SCHEMA cloud; SET search_path = theirs, pg_catalog; IMPORT FOREIGN SCHEMA chpg FROM SERVER chpg INTO cloud');
is(sql(q{
		SELECT DISTINCT n.nspname FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid AND c.relnamespace = 'cloud'::regnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace}),
	'pg_catalog', 'tables that are imported have PostgreSQL\'s own types, whatever search_path says');

like(slurp_file("$FindBin::RealBin/../../docs/security.md"), qr/SET restrict_nonsystem_relation_kind = 'foreign-table'/, 'docs/security.md says so');

done_testing();
