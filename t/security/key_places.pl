# Shared memory has room for 128 keys. A role that uses up its part takes nothing from
# others: neither their rows, nor their cached responses, nor the log of their requests.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use HTTP::Tiny;
use JSON::PP;
use Test::More;

my $url = start_emulator();
my $node = start_node('main');
my $organization = decode_json(HTTP::Tiny->new->get("$url/_emulator/info")->{content})->{organization_id};
my @hostile = ('attacker', map { "hostile$_" } 1 .. 16);
my %keys = map { ("key$_" => 'secret') } 'Victim', 'Other', 1 .. 400;

reset_emulator($url, keys => \%keys);
$node->safe_psql('postgres', 'CREATE EXTENSION chpg; GRANT USAGE ON FOREIGN DATA WRAPPER chpg TO PUBLIC;'
	  . join ' ', map { "CREATE ROLE $_; SET ROLE $_; CREATE SERVER $_ FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url', organization_id '$organization', rate_limit 'unlimited'); CREATE USER MAPPING FOR $_ SERVER $_ OPTIONS (key_id 'none', key_secret 'secret'); RESET ROLE;" } 'victim', 'other', @hostile);

# Send requests of a role with these keys, one after the other; returns the errors, and
# how many requests arrived.
sub with_keys
{
	my ($role, $rate_limit, $settings, @numbers) = @_;
	my ($status, $out, $err);

	clear_journal($url);
	($status, $out, $err) = $node->psql('postgres',
		join('', "\\set VERBOSITY verbose\nSET ROLE $role; ALTER SERVER $role OPTIONS (SET rate_limit '$rate_limit'); $settings;\n",
			map { "ALTER USER MAPPING FOR $role SERVER $role OPTIONS (SET key_id 'key$_');\n SELECT FROM chpg_services('$role');\n" } @numbers),
		on_error_stop => 0);
	return wantarray ? ($err, request_count($url)) : $err;
}

sub rows { my ($pattern) = @_; return $node->safe_psql('postgres', "SELECT count(*) FROM chpg_budget WHERE server ~ '^$pattern'") }

my $READ = q{SET ROLE victim; SET chpg.cache_ttl = '1h'; SELECT count(*) FROM chpg_services('victim')};
my $COUNTED = q{SELECT sum(requests) FROM chpg_stats WHERE key_id = 'keyVictim'};

with_keys('victim', '10/0.5s', q{SET chpg.cache_ttl = '1h'}, 'Victim');
is($node->safe_psql('postgres', $COUNTED), 1, 'a request of the victim');
wait_until(sub { key_budget($node, 'used', 'keyVictim') eq '0' }, "the victim's request does not count any more");

# 140 other keys, of which eight may be tried within ten seconds.
my ($err, $requests) = with_keys('attacker', 'unlimited', 'SET chpg.max_wait = 0', 1 .. 140);
cmp_ok($requests, '>=', 8, 'another role tries 140 keys');
is(key_budget($node, 'server', 'keyVictim'), 'victim', "the victim's row is still there");
is($node->safe_psql('postgres', $COUNTED), 1, 'with its counters');
is(costs($node, $url, $READ, 0, "the victim's cached response"), 6, 'is given again');
cmp_ok(rows('attacker'), '<=', 8, 'the other role has eight places');

# Its log of requests
with_keys('victim', '10/3600s', '', ('Victim') x 9);
with_keys('attacker', 'unlimited', 'SET chpg.max_wait = 0', 141 .. 280);
($err, $requests) = with_keys('victim', '10/3600s', 'SET chpg.max_wait = 0', ('Victim') x 2);
is($requests, 0, 'ten requests still count, so that no other is sent');

# Requests that count hold eight places.
$node->restart;
($err, $requests) = with_keys('attacker', '1/3600s', q{SET chpg.max_wait = '300ms'}, 281 .. 289);
is($requests, 8, 'keys whose requests count for an hour: eight');
like($err, qr/ERROR:  53400: .*\nDETAIL:  Role "attacker" has 8 other keys whose requests still count, and a role has no more places\. Nothing was sent\.\nHINT:  Try again when .*, or give the key to another role\./, 'the ninth is rejected, with the reason');
$node->restart;
($err, $requests) = with_keys('attacker', '1/3600s', q{SET chpg.max_wait = '300ms'}, 289);
like($err, qr/ERROR:  53400: .*\nDETAIL:  Role "attacker" has 8 other keys/, 'also after a restart');
($err, $requests) = with_keys('victim', '20/3600s', '', 'Victim');
is("$err$requests", '1', 'which concerns no other role');

# The key of a PUBLIC mapping counts as the server owner's.
$node->safe_psql('postgres', "SET ROLE attacker; CREATE USER MAPPING FOR PUBLIC SERVER attacker OPTIONS (key_id 'key290', key_secret 'secret'); GRANT USAGE ON FOREIGN SERVER attacker TO other;");
fails_with($node, "SET ROLE other; SET chpg.max_wait = '300ms'; SELECT FROM chpg_services('attacker')", '53400',
	qr/DETAIL:  Role "attacker" has 8 other keys/, "a PUBLIC mapping's key counts to the owner of its server");
is(rows('other'), 0, 'not to the role that uses it');

# So does a mapping that the owner planted, until its role stores a key of its own.
$node->safe_psql('postgres', "SET ROLE attacker; CREATE USER MAPPING FOR $_ SERVER attacker OPTIONS (key_id 'key291', key_secret 'secret')") foreach 'other', 'postgres';
foreach my $role ('other', 'postgres')
{
	my $error = fails_with($node, "SET ROLE $role; SET chpg.max_wait = '300ms'; SELECT FROM chpg_services('attacker')", '53400',
		qr/DETAIL:  Role "attacker" has 8 other keys/, "a key planted for $role counts to the owner of its server");
	like($error, qr/HINT:  Try again when .*, or give the server a key of your own with chpg_connect\(\)\./, "$role: the way out");
}
$node->safe_psql('postgres', q{CREATE ROLE giver; SET ROLE attacker; ALTER SERVER attacker OPTIONS (SET rate_limit '10/3600s'); GRANT USAGE ON FOREIGN SERVER attacker TO giver});
$node->safe_psql('postgres', "SET ROLE giver; SELECT FROM chpg_connect('key292', 'secret', 'attacker', api_url => '$url')");
is($node->safe_psql('postgres', q{SET ROLE giver; SELECT count(*) FROM chpg_services('attacker')}), 6, 'a key that a role gave counts to that role');

# Keys that the API never accepted count for the role, and for ten seconds only.
reset_emulator($url, keys => { %keys{'keyVictim', 'keyOther'} });
($err, $requests) = with_keys('other', '1/3600s', q{SET chpg.max_wait = '300ms'}, 301 .. 309);
is($requests, 8, 'eight keys that are not accepted');
like($err, qr/ERROR:  53400: .*\nDETAIL:  Role "other" has 8 other keys/, 'keep the ninth out');
($err, $requests) = with_keys('other', '1/3600s', '', 'Other');
is("$err$requests", '1', 'until these keys are removed, which a valid key waits for');

# Many roles together evict no key that counts; a newcomer is rejected.
reset_emulator($url, keys => \%keys);
$node->stop;
unlink $node->data_dir . '/pg_stat/chpg_budget';
$node->start;
with_keys('victim', '10/3600s', q{SET chpg.cache_ttl = '1h'}, 'Victim');
my $arrived = 0;
for my $i (1 .. 16)
{
	($err, $requests) = with_keys("hostile$i", '1/3600s', 'SET chpg.max_wait = 0', map { 8 * $i + $_ } 1 .. 8);
	$arrived += $requests;
}
is($arrived, 127, '16 roles with eight keys each have all other places');
like($err, qr/ERROR:  53400: .*\nDETAIL:  128 other keys have sent requests that still count, and there is no place for one more/, 'the last key is rejected');
like(with_keys('other', '10/10s', 'SET chpg.max_wait = 0', 'Other'), qr/ERROR:  53400: .*\nDETAIL:  128 other keys/, 'as is a newcomer');
is(key_budget($node, 'used', 'keyVictim'), 1, "the victim's request counts");
is(costs($node, $url, $READ, 0, "the victim's cached response"), 6, 'is there');
is(rows('hostile'), 127, 'no role lost a place');

done_testing();
