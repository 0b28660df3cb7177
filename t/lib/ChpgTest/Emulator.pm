# An emulator of the API: its start, its control routes, and its journal of requests.
package ChpgTest::Emulator;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;

use ChpgTest::Process;

our @EXPORT = qw(
  $KEY_ID $KEY_SECRET $ORDERS
  start_emulator control reset_emulator organization_id
  fault only_fault respond_with clear_faults
  journal clear_journal request_count connections
);

# The API key that every emulator accepts
our $KEY_ID = 'demoKeyId';
our $KEY_SECRET = 'demoKeySecret';

# The id of the service "orders", the first of the emulator's fleet
our $ORDERS = 'pg7myrd1j06p3gx4zrm2ze8qz6';

my $PROGRAM = dirname(dirname(dirname(dirname(abs_path(__FILE__))))) . '/emulator/chpg-emulator';

# Start an emulator with these options of the program; it ends with the test.
# Returns its base URL.
sub start_emulator
{
	my (@options) = @_;
	my $directory = File::Temp->newdir;
	my $port_file = "$directory/port";
	my $pid = fork // die "could not fork: $!";

	if ($pid == 0)
	{
		exec $PROGRAM, '--port', 0, '--port-file', $port_file, '--parent', getppid(), @options
		  or die "could not start the emulator: $!";
	}
	end_with_test($pid);
	wait_until(sub { -s $port_file }, 'the emulator listens');
	my $scheme = grep({ $_ eq '--tls-cert' } @options) ? 'https' : 'http';
	return "$scheme://127.0.0.1:" . (slurp_file($port_file) =~ s/\s+//gr);
}

# Send a request to a control route, with this content as JSON; returns the body
# of the response.
sub control
{
	my ($url, $method, $route, $content) = @_;
	my $response = HTTP::Tiny->new(verify_SSL => 0)->request(
		$method,
		"$url/_emulator/$route",
		defined $content ? { content => encode_json($content) } : {});

	die "emulator: $response->{status} $response->{content}" if !$response->{success};
	return $response->{content};
}

# Give the emulator a new fleet, without faults and with an empty journal.  With
# now => TIME its clock stands still at that time.
sub reset_emulator { my ($url, %options) = @_; return control($url, 'POST', 'reset', \%options) }

sub organization_id { my ($url) = @_; return decode_json(control($url, 'GET', 'info'))->{organization_id} }

# Add a fault, beside those that are there.
sub fault { my ($url, %fault) = @_; return control($url, 'POST', 'faults', \%fault) }

sub clear_faults { my ($url) = @_; return control($url, 'DELETE', 'faults') }

# Let this be the only fault.
sub only_fault
{
	my ($url, %fault) = @_;

	clear_faults($url);
	return fault($url, %fault);
}

# Let the body of all further responses be these bytes.
sub respond_with
{
	my ($url, $bytes, %fault) = @_;
	return only_fault($url, body_base64 => encode_base64($bytes, ''), %fault);
}

# The requests and connections since the journal was cleared
sub journal { my ($url) = @_; return decode_json(control($url, 'GET', 'journal')) }

sub clear_journal { my ($url) = @_; return control($url, 'DELETE', 'journal') }
sub request_count { my ($url) = @_; return scalar @{ journal($url)->{requests} } }
sub connections { my ($url) = @_; return journal($url)->{connections} }

1;
