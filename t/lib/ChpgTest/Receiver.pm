# A receiver of webhooks: an https server that notes what it is sent, and answers as told.
package ChpgTest::Receiver;

use strict;
use warnings;

use Exporter qw(import);
use File::Temp qw(tempdir);
use IO::Socket::SSL;
use JSON::PP;
use PostgreSQL::Test::Utils;

use ChpgTest::Process;

our @EXPORT = qw(start_receiver);

# Start a receiver on 127.0.0.1; it ends with the test.  Returns an object with its url and
# the file of its certificate (ca_file), which is also for "localhost".
sub start_receiver
{
	my $directory = tempdir(CLEANUP => 1);
	my $self = bless { directory => $directory, ca_file => "$directory/ca.crt", log => "$directory/log" }, __PACKAGE__;

	run_command([ 'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=receiver',
			'-days', 60, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', "$directory/key", '-out', $self->{ca_file} ]);
	die 'openssl made no certificate' unless -s $self->{ca_file};
	# the server, which may run as another user, reads it
	chmod 0755, $directory;
	$self->listen;
	return $self;
}

# Begin to listen, on the port that it had before if it had one.
sub listen
{
	my ($self) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->{port} // 0, Listen => 16, ReuseAddr => 1)
	  or die "could not listen: $!";

	$self->{port} = $listener->sockport;
	$self->{url} = "https://127.0.0.1:$self->{port}";
	$self->{pid} = start_process(sub { $self->_serve($listener) });
	return;
}

# Stop listening: what connects is refused.
sub stop
{
	my ($self) = @_;

	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

# Answer the next requests with these statuses, then 200; "429 after 1": with a Retry-After of a second;
# "hang": note the request, and never answer; "held": answer 200 once release was called.
sub answer_with
{
	my ($self, @statuses) = @_;

	unlink glob "$self->{directory}/answer.*";
	append_to_file(sprintf("$self->{directory}/answer.%03d", $_), $statuses[$_]) for 0 .. $#statuses;
	return;
}

# Answer a request that is held.
sub release { my ($self) = @_; append_to_file("$self->{directory}/released", 'x'); return }

# The requests since the last call of forget: a hash each, of method, path, headers (in lower case), body.
sub requests
{
	my ($self) = @_;
	return map { decode_json($_) } -e $self->{log} ? split /\n/, slurp_file($self->{log}) : ();
}

sub forget { my ($self) = @_; unlink $self->{log}; return }

sub _serve
{
	my ($self, $listener) = @_;
	my @hanging;

	while (1)
	{
		my $client = $listener->accept or next;
		IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_cert_file => $self->{ca_file},
			SSL_key_file => "$self->{directory}/key", Timeout => 10) or next;
		my ($head, $body) = _read($client) or next;
		my ($first, @lines) = split /\r\n/, $head;
		my ($method, $path) = split / /, $first;
		my %headers = map { /^([^:]+): *(.*)/ ? (lc $1 => $2) : () } @lines;

		append_to_file($self->{log}, JSON::PP->new->canonical->encode({ method => $method, path => $path, headers => \%headers, body => $body }) . "\n");
		my ($next) = sort glob "$self->{directory}/answer.*";
		my $status = defined $next ? slurp_file($next) : 200;
		unlink $next if defined $next;
		if ($status eq 'hang')
		{
			push @hanging, $client;
			next;
		}
		if ($status eq 'held')
		{
			wait_until(sub { -e "$self->{directory}/released" }, 'a request is released');
			unlink "$self->{directory}/released";
			$status = 200;
		}
		my $more = $status =~ s/ after (\d+)$// ? "Retry-After: $1\r\n" : $status =~ /^3/ ? "Location: $self->{url}/elsewhere\r\n" : '';
		print $client "HTTP/1.1 $status Status\r\nContent-Length: 2\r\n${more}Connection: close\r\n\r\nok";
		$client->close;
	}
	return;
}

# Read a request; returns its head and its body, or nothing.
sub _read
{
	my ($client) = @_;
	my $data = '';

	while ($data !~ /\r\n\r\n/)
	{
		sysread $client, $data, 65536, length $data or return;
	}
	my ($head, $body) = split /\r\n\r\n/, $data, 2;
	my ($length) = $head =~ /^content-length: *(\d+)/mi;
	while (length $body < ($length // 0))
	{
		sysread $client, $body, 65536, length $body or return;
	}
	return ($head, $body);
}

1;
