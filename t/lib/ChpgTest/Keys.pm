# API keys of the server "chpg": new ones, their request budget, and blocked ones.
package ChpgTest::Keys;

use strict;
use warnings;

use Exporter qw(import);

use ChpgTest::Emulator;

our @EXPORT = qw(use_new_key key_budget block_key);

my $new_keys = 0;

# Let the server use a key that no request has used, with this rate limit, and reset
# the emulator with these options; returns the key's id.
sub use_new_key
{
	my ($node, $url, $rate_limit, %emulator) = @_;
	my $id = 'budgetKey' . ++$new_keys;

	reset_emulator($url, keys => { $id => $KEY_SECRET }, %emulator);
	$node->safe_psql('postgres',
		"ALTER SERVER chpg OPTIONS (SET rate_limit '$rate_limit'); ALTER USER MAPPING FOR CURRENT_USER SERVER chpg OPTIONS (SET key_id '$id')");
	return $id;
}

# Columns of a key's row in chpg_budget
sub key_budget
{
	my ($node, $columns, $id) = @_;
	return $node->safe_psql('postgres', "SELECT $columns FROM chpg_budget WHERE key_id = '$id'");
}

# Let the API accept the server's key once, and then refuse a request (429) with these
# headers, so that the key is blocked: by default for half a minute, or until
# chpg_budget_reset().  The journal is empty then.
sub block_key
{
	my ($node, $url, %headers) = @_;

	%headers = ('X-RateLimit-Reset' => 30) if !%headers;
	$node->safe_psql('postgres', 'SELECT FROM chpg_organizations()');
	fault($url, times => 1, status => 429, headers => \%headers);
	$node->psql('postgres', 'SET chpg.max_retries = 0; SELECT FROM chpg_organizations()');
	clear_journal($url);
	return;
}

1;
