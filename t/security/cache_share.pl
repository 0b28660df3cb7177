# A role that reads much evicts no responses of other roles that stay within their share
# of the cache.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use HTTP::Tiny;
use JSON::PP;
use Test::More;

my $url = start_emulator('--patterns', 500);
my $node = start_node('main', q{chpg.cache_size = '4MB'});
my $organization = decode_json(HTTP::Tiny->new->get("$url/_emulator/info")->{content})->{organization_id};
my $service = decode_json(HTTP::Tiny->new->get("$url/_emulator/info")->{content})->{services}[0]{id};
my @roles = qw(victim attacker newcomer);

reset_emulator($url, keys => { map { $_ => 'secret' } @roles, 'second' });
$node->safe_psql('postgres', 'CREATE EXTENSION chpg; GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO PUBLIC;'
	  . join ' ', map { "CREATE ROLE $_; SET ROLE $_; CREATE SERVER $_ FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', organization_id '$organization', rate_limit 'unlimited'); CREATE USER MAPPING FOR $_ SERVER $_ OPTIONS (key_id '$_', key_secret 'secret'); RESET ROLE;" } @roles);
$node->safe_psql('postgres', "SET ROLE attacker; CREATE SERVER second FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', organization_id '$organization', rate_limit 'unlimited'); CREATE USER MAPPING FOR attacker SERVER second OPTIONS (key_id 'second', key_secret 'secret')");

sub session_of { my ($role, $sql) = @_; return "SET ROLE $role; SET chpg.server = '$role'; SET chpg.cache_ttl = '1h'; $sql" }

# Pages of some 400 kB, for this number of windows
sub flood
{
	my ($server, $windows, $day) = @_;
	my $role = $server eq 'second' ? 'attacker' : $server;

	clear_journal($url);
	$node->safe_psql('postgres', session_of($role, "SELECT count(*) FROM generate_series(1, $windows) i, LATERAL (SELECT '$PAST_DATE 00:00Z'::timestamptz + $day * interval '1 hour' + i * interval '1 second') f(at), LATERAL chpg_slow_patterns(at, at + interval '1 day', '$service', server => '$server')"));
	note("$role read " . $node->safe_psql('postgres', "SELECT pg_size_pretty(sum(decoded_bytes)) FROM chpg_stats WHERE key_id = '$server'"));
	return request_count($url);
}

my $READ = 'SELECT count(*) FROM chpg_services';

is(costs($node, $url, session_of('victim', $READ), 1, 'what the victim reads'), 6, 'has six rows');
is(flood('attacker', 30, 0), 61, 'another role reads much, and the names once');
is(costs($node, $url, session_of('victim', $READ), 0, "the victim's response is still cached"), 6, 'with all rows');
flood('second', 30, 1);
is(costs($node, $url, session_of('victim', $READ), 0, 'also if that role uses another key'), 6, 'with all rows');

# A role that comes when the cache is full gets its share, taken from roles with more
# than theirs.
costs($node, $url, session_of('newcomer', $READ), 1, 'the read of a newcomer');
costs($node, $url, session_of('newcomer', $READ), 0, 'is kept');
my $PAGES = "SELECT count(*) FROM chpg_slow_patterns('$PAST_DATE 00:00Z', '$PAST_DATE 24:00Z', '$service')";
costs($node, $url, session_of('newcomer', $PAGES), 2, 'as are pages');
costs($node, $url, session_of('newcomer', $PAGES), 0, 'of its own');
is(flood('attacker', 30, 2), 60, 'the other role reads on');
costs($node, $url, session_of('newcomer', "$READ; $PAGES"), 0, 'which takes none of that');
costs($node, $url, session_of('victim', $READ), 0, "nor of the victim's");

# A role alone may use the whole cache.
$node->safe_psql('postgres', 'SELECT chpg_cache_reset()');
flood('attacker', 3, 3);
is(flood('attacker', 3, 3), 0, 'the responses of a role alone are cached beyond its share');

done_testing();
