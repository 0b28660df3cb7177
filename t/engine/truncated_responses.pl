# Responses that end too early: a part of a text looks like a whole one unless its end
# is checked.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use HTTP::Tiny;
use IO::Compress::Gzip qw(gzip);
use Test::More;

my $TEXT = join '', map { "requests_total{service=\"number $_\"} $_\n" } 1 .. 200;
my $PEM = join '', map { "-----BEGIN CERTIFICATE-----\n" . ("$_" x 64 . "\n") x 20 . "-----END CERTIFICATE-----\n" } 1 .. 2;
my $METRICS = "SELECT count(*) FROM chpg_prometheus('$ORDERS')";
my $CERTIFICATES = "SELECT length(chpg_ca_certificates('$ORDERS'))";
my %PATHS = ($METRICS => 'prometheus$', $CERTIFICATES => 'caCertificates$');

my $url = start_emulator();
my $node = start_node('main');

$node->safe_psql('postgres', connect_sql($url));
# Byte by byte, a busy machine sends some ten a second.
$node->append_conf('postgresql.conf', "chpg.max_retries = 0\nchpg.request_timeout = '180s'");
$node->reload;

sub is_whole
{
	my ($bytes, $sql, $expected, $name, %fault) = @_;
	respond_with($url, $bytes, content_type => 'text/plain', path => $PATHS{$sql}, %fault);
	is(costs($node, $url, $sql, 1, $name), $expected, $name);
	return;
}

sub is_cut
{
	my ($bytes, $sql, $state, $message, $name, %fault) = @_;
	respond_with($url, $bytes, content_type => 'text/plain', path => $PATHS{$sql}, %fault);
	fails_with($node, $sql, $state, $message, $name);
	return;
}

sub gzip_member
{
	my ($bytes) = @_;
	gzip(\$bytes, \my $member) or die 'could not compress';
	return $member;
}

# The length of the emulator's response
sub compressed_length
{
	my ($bytes, $encoding) = @_;
	respond_with($url, $bytes, content_type => 'text/plain', path => 'prometheus$', encoding => $encoding);
	return length HTTP::Tiny->new->get("$url/prometheus")->{content};
}

my $BROKEN = qr/connection broke before the response was complete/;

# Whole responses, in every transfer encoding
for my $case (
	[ 'with a length' ],
	[ 'in chunks', chunked => \1 ],
	[ 'gzip', encoding => 'gzip' ],
	[ 'gzip in chunks', encoding => 'gzip', chunked => \1 ],
	[ 'gzip up to the end of the connection', encoding => 'gzip', close_delimited => \1 ],
	[ 'deflate', encoding => 'deflate' ],
	[ 'gzip, byte by byte', encoding => 'gzip', drip_ms => 1 ])
{
	my ($name, %fault) = @$case;
	is_whole($TEXT, $METRICS, 200, "metrics: $name", %fault);
	is_whole($PEM, $CERTIFICATES, length($PEM), "certificates: $name", %fault);
}
is_whole('', $METRICS, 0, 'no metrics, with a length');
is_whole('', $METRICS, 0, 'no metrics, gzip', encoding => 'gzip');
is_whole($PEM =~ s/\n\z/\r\n \n/r, $CERTIFICATES, length($PEM) + 3, 'certificates with blanks at the end');
is_whole($PEM =~ s/\n\z//r, $CERTIFICATES, length($PEM) - 1, 'certificates without a last newline');

# Raw deflate, which some servers send
is_whole(pack('H*', '4b5430e44a5230e20200'), $METRICS, 2, 'deflate without a header',
	headers => { 'Content-Encoding' => 'deflate' });

# gzip's format is one or several members, one after the other.
my $middle = index($TEXT, "\n", length($TEXT) / 2) + 1;
my ($first, $second) = map { gzip_member($_) } substr($TEXT, 0, $middle), substr($TEXT, $middle);
my @GZIP = (headers => { 'Content-Encoding' => 'gzip' });
is_whole($first . $second, $METRICS, 200, 'two members of gzip', @GZIP);
is_whole($first . $second, $METRICS, 200, 'two members of gzip, byte by byte', @GZIP, drip_ms => 1);
is_cut($first . substr($second, 0, -1), $METRICS, '08006', qr/$BROKEN.*The compressed response is truncated/s,
	'the second member of gzip cut', @GZIP);
is_cut("${first}no member", $METRICS, '08P01', qr/The compressed response is corrupt/, 'something else after a member of gzip', @GZIP);
is_whole($TEXT, $METRICS, 200, 'a coding without a name', headers => { 'Content-Encoding' => '' });

# Compressed, and cut where Content-Length or chunks make the cut look like the end
for my $encoding (qw(gzip deflate))
{
	for my $cut (1, 5, 30, -1)
	{
		for my $sql ($METRICS, $CERTIFICATES)
		{
			my $bytes = $sql eq $METRICS ? $TEXT : $PEM;
			my $kept = $cut >= 0 ? $cut : compressed_length($bytes, $encoding) - 1;
			my $name = "$PATHS{$sql} $encoding cut after $kept bytes";

			for my $way ([ 'with a length' ], [ 'in chunks', chunked => \1 ], [ 'by closing', close_delimited => \1 ])
			{
				my ($how, %how) = @$way;
				is_cut($bytes, $sql, '08006', qr/$BROKEN.*The compressed response is truncated/s,
					"$name $how", encoding => $encoding, cut => $kept, %how);
			}
		}
	}
}
is_cut($TEXT, $METRICS, '08006', qr/The compressed response is truncated/, 'gzip cut at once', encoding => 'gzip', cut => 0);
is_cut($TEXT, $METRICS, '08P01', qr/The compressed response is corrupt/, 'gzip that is none',
	headers => { 'Content-Encoding' => 'gzip' });
is_cut($TEXT, $METRICS, '08P01', qr/content encoding of the response is unknown/, 'an unknown encoding',
	headers => { 'Content-Encoding' => 'br' });

# An error is recognized by its status, whatever its body is.
is_cut($TEXT, $METRICS, '58000', qr/HTTP status 500/, 'an error in an unknown encoding', status => 500,
	headers => { 'Content-Encoding' => 'br' });

# Cut with the right length, as a proxy in front of a broken server does it
is_cut($TEXT, $METRICS, '08006', qr/$BROKEN.*The response ends within a line/s, 'a line without its end', cut => length($TEXT) - 1);
is_cut($TEXT, $METRICS, '08006', qr/The response ends within a line/, 'a line without its value', cut => 1000);
is_cut($TEXT, $METRICS, '08006', qr/The response ends within a line/, 'the same in chunks', cut => 1000, chunked => \1);
is_cut($PEM, $CERTIFICATES, '08006', qr/The response does not end with "-----END CERTIFICATE-----"/,
	'a certificate without its last byte', cut => length($PEM) - 2);
is_cut($PEM, $CERTIFICATES, '08006', qr/The response does not end with/, 'half a certificate', cut => 500);

# OpenMetrics marks its end.
my $OPENMETRICS = "a 1\nb 2\n";
my @OPENMETRICS = (content_type => 'Application/OpenMetrics-Text; version=1.0.0; charset=utf-8');
is_whole("$OPENMETRICS# EOF\n", $METRICS, 2, 'OpenMetrics', @OPENMETRICS);
is_whole("$OPENMETRICS# EOF", $METRICS, 2, 'OpenMetrics without a last newline', @OPENMETRICS);
is_whole("$OPENMETRICS# EOF\n", $METRICS, 2, 'OpenMetrics up to the end of the connection', close_delimited => \1);
is_cut($OPENMETRICS, $METRICS, '08006', qr/$BROKEN.*does not end with "# EOF"/s, 'OpenMetrics cut after a line', @OPENMETRICS);
is_cut('', $METRICS, '08006', qr/does not end with "# EOF"/, 'OpenMetrics cut at once', @OPENMETRICS);

# Closed before the end
is_cut($TEXT, $METRICS, '08006', $BROKEN, 'closed within the length', truncate => 1000);
is_cut($TEXT, $METRICS, '08006', $BROKEN, 'closed between chunks', truncate => 1000, chunked => \1);
is_cut($_->[0], $_->[1], '08006', qr/$BROKEN.*closed within the headers/s, "$PATHS{$_->[1]} closed within the headers", close_in_head => \1)
  for [ $TEXT, $METRICS ], [ $PEM, $CERTIFICATES ];
is_cut($_->[0], $_->[1], '08P01', qr/does not mark its end/, "$PATHS{$_->[1]} up to the end of the connection", close_delimited => \1)
  for [ $TEXT, $METRICS ], [ $PEM, $CERTIFICATES ];
is_cut($TEXT, $METRICS, '08P01', qr/does not mark its end/, 'cut at the end of a line, by closing',
	close_delimited => \1, truncate => length("requests_total{service=\"number 1\"} 1\n"));

# Status 206, and other successes without the whole body
for my $status (204, 206)
{
	is_cut($status == 204 ? '' : $_->[0], $_->[1], '08P01', qr/Only a response with HTTP status 200 is complete.*HTTP status $status/s,
		"$PATHS{$_->[1]} with status $status", status => $status)
	  for [ $TEXT, $METRICS ], [ $PEM, $CERTIFICATES ];
}

# JSON shows by itself that it is whole, whatever the headers say.
clear_faults($url);
fault($url, path => 'postgres$', close_in_head => \1);
fails_with($node, 'SELECT * FROM chpg_services()', '08006', qr/closed within the headers/, 'JSON: closed within the headers');
clear_faults($url);
fault($url, path => 'postgres$', encoding => 'gzip', cut => 100);
fails_with($node, 'SELECT * FROM chpg_services()', '08006', qr/compressed response is truncated/, 'JSON: gzip cut');
clear_faults($url);
fault($url, path => 'postgres$', close_delimited => \1);
is($node->safe_psql('postgres', 'SELECT count(*) FROM chpg_services()'), 6, 'JSON up to the end of the connection');

# A truncated response is retried, and neither cached nor shared.
respond_with($url, $TEXT, content_type => 'text/plain', path => 'prometheus$', cut => 1000, times => 1);
is(costs($node, $url, "SET chpg.max_retries = 1; $METRICS", 2, 'a truncated response is retried'),
	$node->safe_psql('postgres', $METRICS), 'a truncated response is retried: rows');
respond_with($url, $TEXT, content_type => 'text/plain', path => 'prometheus$', cut => 1000, times => 1);
clear_journal($url);
$node->psql('postgres', "SET chpg.cache_ttl = '1min'; $METRICS; $METRICS; $METRICS", on_error_stop => 0);
is(request_count($url), 2, 'a truncated response is not cached, a whole one is');

done_testing();
