# History: who owns it, who runs it, and with whose rights.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";

use ChpgTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $url = start_emulator();
my $node = start_node('main', "timezone = 'UTC'", 'chpg.max_retries = 0');

$node->safe_psql('postgres', connect_sql($url));
reset_emulator($url, services => 2, patterns => 5);

sub sql { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }

# Partitions belong to the owner of the history, whoever captures.
my $owner = sql('SELECT current_user');
my $OWNERS = q{SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ' ') FROM pg_class WHERE relnamespace = 'kept'::regnamespace};
sql(q{SELECT chpg_history_enable('kept'); UPDATE kept.setting SET value = '3 hours' WHERE name = 'backfill'; CREATE ROLE deputy SUPERUSER});
sql(qq{CREATE USER MAPPING FOR deputy SERVER chpg OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET')});
sql(q{SET ROLE deputy; CALL chpg_capture('hour')});
my $patterns = sql('SELECT count(*) FROM kept.pattern');
cmp_ok($patterns, '>', 0, 'another superuser captures');
is(sql($OWNERS), $owner, 'and owns nothing of it');
sql('DROP OWNED BY deputy');
is(sql('SELECT count(*) FROM kept.pattern'), $patterns, 'no month goes with who captured it');

done_testing();
