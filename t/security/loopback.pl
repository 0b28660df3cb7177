# Plain http is for this machine only. Names that look like loopback addresses go to a
# resolver, so that a hosts file or a name server decides where the key is sent.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use Test::More;

my $url = start_emulator();
my ($port) = $url =~ /:(\d+)$/;
my $node = start_node('main');

$node->safe_psql('postgres', 'CREATE EXTENSION chpg');

# Each of these was once taken for a loopback address, or for a plain path or port.
foreach my $wrong (
	"http://127.0.0.1.:$port", "http://127.0.0.1.1:$port", "http://127..1:$port", "http://127.256.0.1:$port", "http://127.1:$port",
	"http://127.0.0.01:$port", "http://127.00.0.1:$port", "http://127.:$port", "http://127.0.0.1..:$port", "http://127.0x0.0.1:$port",
	"http://0177.0.0.1:$port", "http://0x7f000001:$port", "http://2130706433:$port", "http://localhost.:$port", "http://.localhost:$port",
	"http://a.localhost:$port", "http://localhost.localdomain:$port", "http://0.0.0.0:$port", "http://[::]:$port",
	"http://[::ffff:127.0.0.1]:$port", "http://[::1%25lo]:$port", "http://[::1%lo]:$port", "http://[127.0.0.1]:$port", "http://[::1:$port",
	"http://x\@127.0.0.1:$port", "http://127.0.0.1:$port\@example.com", "http://127.0.0.1:0$port", 'http://127.0.0.1:0', 'http://127.0.0.1:',
	'http://127.0.0.1:65536', 'http://127.0.0.1:+80', "$url/..", "$url/../x", "$url/x/..", "$url/.", "$url/x/./y", "$url//", "$url//x", "$url/x//y",
	"$url/%2e%2e/x", "$url/%2E", "$url/x;y", "$url\\x", "HTTP://127.0.0.1:$port",
	'https://example.com.', 'https://example..com', 'https://.example.com', 'https://127.1', 'https://0x7f.1', 'https://1.2.3', 'https://example.1',
	'https://[1::2::3]', 'https://[:::]', 'https://example.com:0443', 'https://' . ('a' x 64) . '.com', 'https://' . join('.', ('abcdefg') x 32))
{
	fails_with($node, "CREATE SERVER wrong FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$wrong')", 'HV024',
		qr/invalid value for option "api_url"/, "CREATE SERVER with $wrong");
	fails_with($node, "SELECT chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$wrong')", 'HV024',
		qr/invalid value for option "api_url"/, "chpg_connect() with $wrong");
}
foreach my $wrong ('http://proxy.example.com.:3128', 'http://127.1:3128', 'http://proxy:03128', 'http://proxy:3128/x', 'http://proxy:3128//',
	'socks5://proxy', 'http://[::1%25lo]:3128')
{
	fails_with($node, "CREATE SERVER wrong FOREIGN DATA WRAPPER chpg OPTIONS (proxy '$wrong')", 'HV024', qr/invalid value for option "proxy"/,
		"the proxy $wrong");
}
is(request_count($url), 0, 'nothing was sent');

# An address that was stored under other rules is not used either.
$node->safe_psql('postgres',
	"CREATE SERVER old FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$url'); CREATE USER MAPPING FOR PUBLIC SERVER old OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET');"
	  . "UPDATE pg_foreign_server SET srvoptions = ARRAY['api_url=http://127.0.0.1.:$port'] WHERE srvname = 'old'");
fails_with($node, $_, 'HV024', qr/invalid value for option "api_url"/, $_)
  foreach q{SELECT FROM chpg_services('old')}, "SELECT chpg_connect('$KEY_ID', '$KEY_SECRET', 'old')";
$node->safe_psql('postgres', 'DROP SERVER old CASCADE');

# All spellings of a valid address are one address: the key has one budget, and is bound
# to it.
my @forms = (
	[ $url, "$url/", "$url/v1", "$url/v1/" ],
	[ "http://localhost:$port", "http://LOCALHOST:$port", "http://LocalHost:$port/v1" ]);
foreach my $forms (@forms)
{
	my $canonical = $forms->[0];

	foreach my $form (@$forms)
	{
		is($node->safe_psql('postgres', "SELECT api_url FROM chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$form')"),
			$canonical, "$form is $canonical");
		is($node->safe_psql('postgres', "ALTER SERVER chpg OPTIONS (SET api_url '$_'); SELECT count(*) FROM chpg_services('chpg')"),
			6, "$_ is no other address than $form")
		  foreach @$forms;
	}
}
is($node->safe_psql('postgres', "SELECT count(*) FROM chpg_budget"), 2, 'two addresses have two budgets')
  if $node->pg_version >= 17 || $node->safe_psql('postgres', 'SHOW shared_preload_libraries') =~ /chpg/;

my %same = (
	'https://EXAMPLE.com:443/' => 'https://example.com',
	'https://example.com:443/v1' => 'https://example.com',
	'https://example.com:80/a/v1/' => 'https://example.com:80/a',
	'https://example.com/A/b~c' => 'https://example.com/A/b~c',
	'https://[2001:DB8:0:0::1]' => 'https://[2001:db8::1]',
	'https://192.0.2.1' => 'https://192.0.2.1',
	'https://my_host-1.example.com' => 'https://my_host-1.example.com',
	'http://[0:0:0:0:0:0:0:1]:80' => 'http://[::1]',
	'http://127.1.2.3:80' => 'http://127.1.2.3');
foreach my $form (sort keys %same)
{
	$node->safe_psql('postgres', "CREATE SERVER form FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$form');"
		  . "CREATE USER MAPPING FOR PUBLIC SERVER form OPTIONS (key_id '$KEY_ID', key_secret '$KEY_SECRET $url')");
	fails_with($node, q{SELECT FROM chpg_services('form')}, '55000', qr/the address of the server is \Q$same{$form}\E\.$/m, $form);
	$node->safe_psql('postgres', 'DROP SERVER form CASCADE');
}

done_testing();
