# Starts an emulator for a test, and talks to it: through HTTP::Tiny, and
# through bare sockets where the bytes matter.
package TestEmulator;

use strict;
use warnings;

use Exporter qw(import);
use FindBin;
use lib "$FindBin::RealBin/../lib";
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP     qw(decode_json encode_json);
use MIME::Base64 qw(encode_base64);
use Socket       qw(IPPROTO_TCP TCP_NODELAY);

our @EXPORT = qw(start_emulator);

our $PROGRAM = "$FindBin::RealBin/../chpg-emulator";
our $ORDERS = 'pg7myrd1j06p3gx4zrm2ze8qz6';
our $AUTHORIZATION = 'Basic ' . encode_base64('demoKeyId:demoKeySecret', '');

sub start_emulator
{
	my (@options) = @_;
	my $pid = open my $output, '-|', $^X, $PROGRAM, '--parent', $$, @options
	  or die "$PROGRAM: $!";
	my $line = <$output> // die "the emulator did not start\n";
	my ($url) = $line =~ m{\Alistening on (https?://127\.0\.0\.1:\d+)\n\z}
	  or die "unexpected: $line";
	my $self = bless {
		pid => $pid,
		output => $output,
		url => $url,
		http => HTTP::Tiny->new(
			keep_alive => 1,
			max_redirect => 0,
			verify_SSL => 0,
			# As long as PostgreSQL's tests wait: a busy machine is slow.
			timeout => 180)
	  },
	  __PACKAGE__;
	$self->{organization} = $self->control('GET', 'info')->{organization_id};
	return $self;
}

sub DESTROY
{
	my ($self) = @_;
	local $?;
	kill 'TERM', $self->{pid};
	close $self->{output};
	return;
}

sub port
{
	my ($self) = @_;
	return $self->{url} =~ s/.*://r;
}

# HTTP::Tiny's answer, with the decoded body as "json" if it is any
sub request
{
	my ($self, $method, $path, %headers) = @_;
	my $answer = $self->{http}->request($method, "$self->{url}$path",
		{ headers => { Authorization => $AUTHORIZATION, %headers } });
	$answer->{json} = eval { decode_json($answer->{content}) };
	return $answer;
}

sub get
{
	my ($self, $path, %headers) = @_;
	return $self->request('GET', $path, %headers);
}

sub control
{
	my ($self, $method, $route, $body) = @_;
	my $answer = $self->{http}->request(
		$method,
		"$self->{url}/_emulator/$route",
		{ defined $body ? (content => encode_json($body)) : () });
	die "$method $route: $answer->{status} $answer->{content}\n"
	  if !$answer->{success};
	return eval { decode_json($answer->{content}) } // $answer->{content};
}

sub reset
{
	my ($self, %options) = @_;
	return $self->control('POST', 'reset', \%options);
}

# Replaces all faults by this one.
sub fault
{
	my ($self, %fault) = @_;
	$self->control('DELETE', 'faults');
	return $self->control('POST', 'faults', \%fault)->{id};
}

sub postgres
{
	my ($self, @more) = @_;
	return join '/', "/v1/organizations/$self->{organization}/postgres",
	  @more;
}

# A connection that has sent a request
sub socket
{
	my ($self, $path) = @_;
	my $socket = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $self->port,
		Timeout => 10) or die "connect: $!";
	print $socket
	  "GET $path HTTP/1.1\r\nHost: x\r\nAuthorization: $AUTHORIZATION\r\n\r\n";
	$socket->flush;
	return $socket;
}

# All that comes until the connection ends: (bytes, error)
sub drain
{
	my ($socket) = @_;
	my $bytes = '';
	while (1)
	{
		my $count = sysread $socket, $bytes, 65536, length $bytes;
		return ($bytes, "$!") if !defined $count;
		return ($bytes, '') if !$count;
	}
}

1;
