# TLS: which certificates are trusted, which proxy is used, and HTTP/2.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = PostgreSQL::Test::Utils::tempdir;

# The directory and configuration of "openssl ca"
append_to_file("$directory/ca.conf", <<"END");
[ca]
default_ca = ca_default
[ca_default]
database = $directory/index
new_certs_dir = $directory
serial = $directory/serial
default_md = sha256
unique_subject = no
policy = any_name
[any_name]
commonName = supplied
END
append_to_file("$directory/index", '');
append_to_file("$directory/serial", "1000\n");

sub openssl
{
	my (@arguments) = @_;
	run_log([ 'openssl', @arguments ]) or die "openssl failed: @arguments";
	return;
}

my @NEW_KEY = ('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes');

# Make a root certificate; returns its file.
sub make_ca
{
	my ($name) = @_;
	openssl(@NEW_KEY, '-x509', '-subj', "/CN=$name", '-days', 2, '-addext', 'basicConstraints=critical,CA:TRUE',
		'-keyout', "$directory/$name.key", '-out', "$directory/$name.crt");
	return "$directory/$name.crt";
}

# Make a certificate for these alternative names, signed by a root certificate.
sub make_certificate
{
	my ($ca, $name, $hosts, @dates) = @_;
	my $file = "$directory/$name";

	append_to_file("$file.ext", "subjectAltName=$hosts\n");
	openssl(@NEW_KEY, '-subj', '/CN=emulator', '-keyout', "$file.key", '-out', "$file.csr");
	openssl('ca', '-config', "$directory/ca.conf", '-batch', '-notext',
		'-cert', "$directory/$ca.crt", '-keyfile', "$directory/$ca.key",
		'-in', "$file.csr", '-out', "$file.crt", '-extfile', "$file.ext", @dates);
	return;
}

# Start an emulator with one of these certificates.
sub start_tls_emulator
{
	my ($name) = @_;
	return start_emulator('--tls-cert', "$directory/$name.crt", '--tls-key', "$directory/$name.key");
}

# Start a proxy for CONNECT; returns its port. The file holds what clients send to the
# proxy itself.
sub start_proxy
{
	my ($file, $answer) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 8) or die "could not listen: $!";

	start_process(sub {
		while (my $client = $listener->accept)
		{
			my $head = '';
			while ($head !~ /\r\n\r\n/ && sysread $client, my $more, 4096)
			{
				$head .= $more;
			}
			append_to_file($file, $head);
			my ($target) = $head =~ /^CONNECT (\S+) /;
			syswrite $client, "HTTP/1.1 $answer\r\n\r\n";
			relay($client, IO::Socket::INET->new($target)) if $answer =~ /^200/;
		}
	});
	return $listener->sockport;
}

sub relay
{
	my ($one, $other) = @_;
	my $select = IO::Select->new($one, $other);

	while (1)
	{
		for my $from ($select->can_read)
		{
			sysread($from, my $data, 65536) or return;
			syswrite $from == $one ? $other : $one, $data;
		}
	}
}

# nghttpx in front of an emulator: HTTP/2 over TLS there, plain HTTP/1.1 behind
sub start_nghttpx
{
	my ($backend, $certificate, $log) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($backend_port) = $backend =~ /(\d+)$/;

	my $pid = start_process(sub {
		local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
		exec 'nghttpx', '--conf=/dev/null', '--single-process', '--no-ocsp',
		  "--frontend=127.0.0.1,$port", "--backend=127.0.0.1,$backend_port",
		  "--accesslog-file=$log", '--accesslog-format=$alpn $remote_port $status $request',
		  "--errorlog-file=$directory/nghttpx.log",
		  "$directory/$certificate.key", "$directory/$certificate.crt";
	});
	wait_until(sub {
		die 'nghttpx does not run; is it installed?' if waitpid($pid, POSIX::WNOHANG) == $pid;
		return IO::Socket::INET->new("127.0.0.1:$port");
	}, 'nghttpx listens');
	return "https://127.0.0.1:$port";
}

my $ca = make_ca('trusted');
my $other_ca = make_ca('other');
make_certificate('trusted', 'good', 'IP:127.0.0.1,DNS:localhost', -days => 1);
make_certificate('trusted', 'elsewhere', 'DNS:api.example.com', -days => 1);
make_certificate('trusted', 'expired', 'IP:127.0.0.1', -startdate => '20200101000000Z', -enddate => '20200201000000Z');

my $url = start_tls_emulator('good');
my $elsewhere = start_tls_emulator('elsewhere');
my $expired = start_tls_emulator('expired');
my $plain = start_emulator();

# The server's environment names a proxy on a port where no program listens.
my $nobody = 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port();
my $node = do
{
	local @ENV{qw(http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY)} = ($nobody) x 6;
	start_node('main', 'chpg.max_retries = 0');
};

$node->safe_psql('postgres', 'CREATE EXTENSION chpg');

# An untrusted peer gets neither a request nor a key.
sub is_untrusted
{
	my ($api_url, $server, $detail, $name) = @_;
	my $err = fails_with($node, "SELECT * FROM chpg_services('$server')", '08001',
		qr/the certificate of the API's host is not valid/, $name);

	like($err, qr/DETAIL:  .*$detail.*No HTTP status/i, "$name: the reason");
	like($err, qr/HINT:  .*ca_file/, "$name: the hint");
	is(request_count($api_url), 0, "$name: nothing is sent");
	return;
}

# Trust
add_server($node, 'private_ca', api_url => $url, ca_file => $ca, rate_limit => 'unlimited');
is(costs($node, $url, "SELECT count(*) FROM chpg_services('private_ca')", 2, 'a private CA in ca_file'),
	6, 'a private CA in ca_file: rows');
add_server($node, 'localhost', api_url => $url =~ s/127\.0\.0\.1/localhost/r, ca_file => $ca, rate_limit => 'unlimited');
is(costs($node, $url, "SELECT count(*) FROM chpg_services('localhost')", 2, 'the other name of the certificate'),
	6, 'the other name of the certificate: rows');

reset_emulator($url);
add_server($node, 'no_ca', api_url => $url, rate_limit => 'unlimited');
is_untrusted($url, 'no_ca', 'certificate', 'a private CA without ca_file');
add_server($node, 'other_ca', api_url => $url, ca_file => $other_ca, rate_limit => 'unlimited');
is_untrusted($url, 'other_ca', 'certificate', "another CA's file");
add_server($node, 'elsewhere', api_url => $elsewhere, ca_file => $ca, rate_limit => 'unlimited');
is_untrusted($elsewhere, 'elsewhere', '127\.0\.0\.1', 'a certificate for another host');
add_server($node, 'expired', api_url => $expired, ca_file => $ca, rate_limit => 'unlimited');
is_untrusted($expired, 'expired', 'expired', 'a certificate that has expired');
add_server($node, 'no_file', api_url => $url, ca_file => "$directory/missing.crt", rate_limit => 'unlimited');
is_untrusted($url, 'no_file', 'missing\.crt', 'a ca_file that is missing');

# A change of the trusted certificates acts at once, also in a session with an open
# connection.
like(
	notices($node, "SELECT FROM chpg_services('private_ca'); ALTER SERVER private_ca OPTIONS (SET ca_file '$other_ca');"
		  . "SELECT FROM chpg_services('private_ca')"),
	qr/certificate of the API's host is not valid/,
	'an open connection is not used after its CA is no longer trusted');
$node->safe_psql('postgres', "ALTER SERVER private_ca OPTIONS (SET ca_file '$ca')");

# https to a plain server, and http to one with TLS
add_server($node, 'tls_to_plain', api_url => $plain =~ s/^http:/https:/r, rate_limit => 'unlimited');
fails_with($node, "SELECT * FROM chpg_services('tls_to_plain')", '08001', qr/no connection to the API/,
	'https to a port that speaks http');
is(scalar(grep { $_->{path} =~ /organizations/ } @{ journal($plain)->{requests} }), 0,
	'https to a port that speaks http: no request');

# Keys are never sent in clear.
my $CLEAR = 'http://api.example.com';
fails_with($node, "CREATE SERVER clear FOREIGN DATA WRAPPER chpg OPTIONS (api_url '$CLEAR')", 'HV024',
	qr/invalid value for option "api_url".*HINT:  .*https/s, 'http to another host');
fails_with($node, "ALTER SERVER private_ca OPTIONS (SET api_url '$CLEAR')", 'HV024',
	qr/invalid value for option "api_url"/, 'http to another host, later');
fails_with($node, "SELECT * FROM chpg_connect('$KEY_ID', '$KEY_SECRET', api_url => '$CLEAR')", 'HV024',
	qr/invalid value for option "api_url"/, 'http to another host, connecting');
fails_with($node, "CREATE SERVER clear FOREIGN DATA WRAPPER chpg OPTIONS (api_url 'http://127.0.0.1.example.com')",
	'HV024', qr/invalid value for option "api_url"/, 'http to a host that looks like loopback');

# The environment's proxy is ignored, as the cases above show for https; for http
add_server($node, 'plain', api_url => $plain, rate_limit => 'unlimited');
is(costs($node, $plain, "SELECT count(*) FROM chpg_services('plain')", 2, "the environment's proxy with http"),
	6, "the environment's proxy with http: rows");

# The server's option proxy is used, and the proxy sees no key.
my $proxy = start_proxy("$directory/proxied", '200 Connection established');
add_server($node, 'proxied', api_url => $url, ca_file => $ca, proxy => "http://127.0.0.1:$proxy", rate_limit => 'unlimited');
is(costs($node, $url, "SELECT count(*) FROM chpg_services('proxied')", 2, 'a proxy'), 6, 'a proxy: rows');
my $seen = slurp_file("$directory/proxied");
my ($host) = $url =~ m{//(.*)};
like($seen, qr/\ACONNECT \Q$host\E HTTP/, 'the proxy gets a CONNECT');
unlike($seen, qr/authorization|organizations/i, 'the proxy sees neither key nor path');

add_server($node, 'no_proxy', api_url => $url, ca_file => $ca, proxy => $nobody, rate_limit => 'unlimited');
fails_with($node, "SELECT * FROM chpg_services('no_proxy')", '08001',
	qr/no connection to the API.*DETAIL:  .*127\.0\.0\.1.*HINT:  .*proxy/s, 'a proxy without a listener');
my $refusing = start_proxy("$directory/refused", '403 Forbidden');
add_server($node, 'refusing_proxy', api_url => $url, ca_file => $ca, proxy => "http://127.0.0.1:$refusing", rate_limit => 'unlimited');
fails_with($node, "SELECT * FROM chpg_services('refusing_proxy')", '08001',
	qr/no connection to the API.*DETAIL:  .*403.*HINT:  .*proxy/s, 'a proxy that rejects CONNECT');
fails_with($node, "ALTER SERVER plain OPTIONS (ADD proxy '$nobody')", 'HV024', qr/The proxy would see the key/,
	'a proxy with http');

# Connections are kept: HTTP/1.1
reset_emulator($url, services => 25, patterns => 3);
costs($node, $url, join(';', ("SELECT FROM chpg_services('private_ca')") x 5), 6, 'five statements in a session');
is(journal($url)->{connections}, 1, 'five statements use one connection');
costs($node, $url, "SELECT FROM chpg_slow_patterns($DAY, server => 'private_ca')", 27, 'a fleet over HTTP/1.1');
cmp_ok(journal($url)->{connections}, '<=', 8, 'a fleet uses no more connections than chpg.max_concurrency');
costs($node, $url, "SET chpg.max_concurrency = 1; SELECT FROM chpg_slow_patterns($DAY, server => 'private_ca')",
	27, 'a fleet, one at a time');
is(journal($url)->{connections}, 1, 'a fleet, one at a time: one connection');

# HTTP/2: a fleet at once over a single connection
my $log = "$directory/access";
my $http2 = start_nghttpx($plain, 'good', $log);

reset_emulator($plain, services => 25, patterns => 3);
fault($plain, path => 'slowQueryPatterns', latency_ms => 300);
add_server($node, 'http2', api_url => $http2, ca_file => $ca, rate_limit => 'unlimited');
is(costs($node, $plain, "SELECT count(*), count(DISTINCT service_id) FROM chpg_slow_patterns($DAY, server => 'http2')",
		27, 'a fleet over HTTP/2'),
	'75|25', 'a fleet over HTTP/2: rows');
wait_until(sub { (() = slurp_file($log) =~ /\n/g) >= 27 }, 'nghttpx has logged the requests');

my @logged = map { [ split / /, $_, 4 ] } split /\n/, slurp_file($log);
my %protocols = map { $_->[0] => 1 } @logged;
my %ports = map { $_->[1] => 1 } @logged;
is(scalar @logged, 27, 'a fleet over HTTP/2: all requests are logged');
is(join(' ', sort keys %protocols), 'h2', 'a fleet over HTTP/2: no other protocol');
is(scalar keys %ports, 1, 'a fleet over HTTP/2: one connection');

my @requests = grep { $_->{path} =~ /slowQueryPatterns/ } @{ journal($plain)->{requests} };
my $answered = (sort { $a <=> $b } map { $_->{answered_at} } @requests)[0];
is(scalar(grep { $_->{at} < $answered } @requests), 8,
	'a fleet over HTTP/2: chpg.max_concurrency requests at once');

done_testing();
