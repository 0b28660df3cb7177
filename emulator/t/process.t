# The process: how it starts and ends, TLS, and many clients at once.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use File::Temp qw(tempdir);
use IO::Socket::SSL ();
use IO::Socket::SSL::Utils ();
use Test::More;
use Time::HiRes qw(time);
use TestEmulator;

my $directory = tempdir(CLEANUP => 1);

subtest 'the process writes its port and ends by a signal' => sub {
	my $emulator = start_emulator('--port-file', "$directory/port");
	open my $file, '<', "$directory/port" or die $!;
	is(<$file>, $emulator->port . "\n", 'the port file has the port');
	for my $signal (qw(TERM INT))
	{
		my $other = start_emulator();
		kill $signal, $other->{pid};
		waitpid $other->{pid}, 0;
		is($?, 0, "SIG$signal ends it with exit code 0");
	}
	my $again = fork // die $!;
	exec $^X, $TestEmulator::PROGRAM, '--port', $emulator->port, '--verbose'
	  or die $!
	  if !$again && open STDERR, '>', "$directory/log";
	waitpid $again, 0;
	isnt($?, 0, 'a port in use is an error');
};

subtest 'the process ends with its parent' => sub {
	my $parent = fork // die $!;
	exec 'sleep', 60 if !$parent;
	my $emulator = start_emulator('--parent', $parent);
	kill 'KILL', $parent;
	my $before = time;
	is(readline $emulator->{output}, undef, 'the output ends');
	cmp_ok(time - $before, '<', 30, 'it ends soon');
	waitpid $parent, 0;
};

subtest 'many clients are served at once' => sub {
	my $emulator = start_emulator();
	my ($clients, $latency) = (64, 0.5);
	$emulator->fault(latency_ms => $latency * 1000);
	my $before = time;
	my @sockets = map { $emulator->socket('/v1/organizations') } 1 .. $clients;
	my @answers = map { sysread $_, my $bytes, 65536; $bytes } @sockets;
	is(scalar(grep { m{^HTTP/1.1 200} } @answers), $clients, 'each client has an answer');
	cmp_ok(time - $before, '<', $clients * $latency / 2, 'clients do not wait for each other');
	is($emulator->control('GET', 'connections'), $clients, 'each client has a connection');
};

subtest 'a connection serves any number of requests' => sub {
	my $emulator = start_emulator();
	$emulator->get('/v1/organizations') for 1 .. 250;
	is($emulator->control('GET', 'connections'), 1, '250 requests take one connection');
};

subtest 'faults work over TLS' => sub {
	my ($certificate, $key) = IO::Socket::SSL::Utils::CERT_create(
		subject => { commonName => '127.0.0.1' },
		subjectAltNames => [ [ IP => '127.0.0.1' ] ],
		purpose => 'server');
	IO::Socket::SSL::Utils::PEM_cert2file($certificate, "$directory/cert");
	IO::Socket::SSL::Utils::PEM_key2file($key, "$directory/key");
	my $emulator = start_emulator('--tls-cert', "$directory/cert",
		'--tls-key', "$directory/key");
	like($emulator->{url}, qr/^https:/, 'the URL is one of https');
	is($emulator->get('/v1/organizations')->{status}, 200, 'a request is answered');
	$emulator->fault(reset => 'before');
	is($emulator->get('/v1/organizations')->{status}, 599, 'a reset is an error');
	$emulator->fault(truncate => 50);
	like($emulator->get('/v1/organizations')->{content}, qr/./, 'a truncated response has a part of the body');
	$emulator->fault(reset => 'mid');
	is($emulator->get('/v1/organizations')->{status},
		599, 'a reset within the body is an error');
};

done_testing();
