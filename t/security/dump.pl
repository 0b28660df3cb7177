# Dumps: a role that may dump its database may still do so with the extension in it, and
# reads nothing by it that it could not read before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_node('main');
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql_in { my ($database, $sql, %psql) = @_; return $node->safe_psql($database, $sql, %psql) }

# A role's dump of the database: the file, and its text
sub dump_as
{
	my ($role, $name, @options) = @_;
	my $file = "$dir/$name";

	$node->command_ok([ 'pg_dump', '-d', $node->connstr('theirs'), '-U', $role, '-f', $file, @options ], "pg_dump of $role: $name");
	return -f $file ? slurp_file($file) : '';
}

sub restore
{
	my ($name) = @_;

	sql_in('postgres', 'DROP DATABASE IF EXISTS restored');
	sql_in('postgres', 'CREATE DATABASE restored');
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$name", '-d', $node->connstr('restored') ], "$name can be restored");
	return sql_in('restored', 'SELECT string_agg(finding_key || $$ $$ || reason || $$ $$ || coalesce(note, $$-$$) || $$ $$ || muted_by || $$ $$ || muted_until, $$, $$ ORDER BY finding_key) FROM chpg.chpg_finding_mute');
}

sql_in('postgres', 'CREATE ROLE app LOGIN; CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE reader LOGIN');
sql_in('postgres', 'CREATE DATABASE theirs OWNER app');
sql_in('theirs', q{CREATE SCHEMA chpg; CREATE EXTENSION chpg SCHEMA chpg; GRANT USAGE ON SCHEMA chpg TO ann, bob, reader;
	GRANT EXECUTE ON FUNCTION chpg.chpg_mute, chpg.chpg_unmute TO ann, bob, app;
	INSERT INTO chpg.chpg_threshold VALUES ('CHPG101', 'calls', 7)});
sql_in('theirs', 'CREATE TABLE of_app (a int)', extra_params => [ '-U', 'app' ]);
sql_in('theirs', q{SELECT chpg.chpg_mute('CHPG301:annservice', 'wont_fix', 'secret of ann')}, extra_params => [ '-U', 'ann' ]);
sql_in('theirs', q{SELECT chpg.chpg_mute('CHPG301:bobservice', 'accepted_risk', muted_until => '2999-01-01 00:00Z')}, extra_params => [ '-U', 'bob' ]);
sql_in('theirs', q{SELECT chpg.chpg_mute('CHPG301:appservice', 'wont_fix', 'note of app')}, extra_params => [ '-U', 'app' ]);
my $ALL = restored_line();

# The database's owner, which is neither a superuser nor the extension's owner, and may
# not read mutes
foreach my $options ([], ['--schema-only'], ['--data-only'], ['--inserts'], [ '-Fc' ])
{
	my $text = dump_as('app', "owner @$options", @$options);

	unlike($text, qr/annservice|bobservice|secret of ann/, "no mutes of other roles: @$options");
}
like(slurp_file("$dir/owner "), qr/CREATE EXTENSION.*CHPG101\tcalls\t7/s, 'the extension, and its thresholds');
is(restore('owner '), '', 'and no mutes');

# A superuser's dump has all mutes, and so has that of a role that may read them.
dump_as(sql_in('postgres', 'SELECT current_user'), $_->[0], @{ $_->[1] }) foreach [ 'all', [] ], [ 'inserts', ['--inserts'] ], [ 'columns', ['--column-inserts'] ];
is(restore($_), $ALL, "$_: all mutes are restored") foreach 'all', 'inserts', 'columns';
is(sql_in('restored', 'SELECT count(*) FROM ONLY chpg.chpg_finding_mute_dump'), 0, 'and stay where they were');
is(sql_in('restored', q{SELECT chpg._chpg_mutes_of('{CHPG301:annservice}') ? 'CHPG301:annservice'}), 't', 'where they count');
sql_in('theirs', 'GRANT SELECT ON chpg.chpg_finding_mute TO app');
like(dump_as('app', 'granted'), qr/secret of ann/, 'a role that may read mutes has them in its dumps');
is(restore('granted'), $ALL, 'which can be restored');
sql_in('theirs', 'REVOKE SELECT ON chpg.chpg_finding_mute FROM app');

# A role can read no more than before: nothing.
foreach my $role ('reader', 'ann', 'app')
{
	fails_in($role, 'SELECT * FROM chpg.chpg_finding_mute', '42501', qr/permission denied for table chpg_finding_mute/);
	is(sql_in('theirs', 'SELECT count(*) FROM chpg.chpg_finding_mute_dump; SELECT count(*) FROM chpg._chpg_mutes_to_dump()', extra_params => [ '-U', $role ]), "0\n0", "$role can read nothing of what dumps read");
	fails_in($role, q{INSERT INTO chpg.chpg_finding_mute_dump (finding_key, reason) VALUES ('CHPG301:x', 'wont_fix')}, '42501', qr/permission denied for table chpg_finding_mute_dump/);
}

# Without the trigger nothing is written to the table that all roles can read.
my ($status, $out, $err) = $node->psql('theirs', q{BEGIN; ALTER TABLE chpg.chpg_finding_mute_dump DISABLE TRIGGER ALL;
	INSERT INTO chpg.chpg_finding_mute_dump VALUES ('CHPG301:x', 'wont_fix', NULL, 'ann', now(), 'infinity')}, on_error_stop => 1);
like($err, qr/violates check constraint/, 'a restore with triggers disabled fails');

sub restored_line
{
	return sql_in('theirs', 'SELECT string_agg(finding_key || $$ $$ || reason || $$ $$ || coalesce(note, $$-$$) || $$ $$ || muted_by || $$ $$ || muted_until, $$, $$ ORDER BY finding_key) FROM chpg.chpg_finding_mute');
}

sub fails_in
{
	my ($role, $sql, $state, $message) = @_;
	my ($failed, $printed, $error) = $node->psql('theirs', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]);

	like($error, qr/ERROR:  $state: /, "$role: $sql: SQLSTATE $state");
	like($error, $message, "$role: $sql: message");
	return;
}

done_testing();
