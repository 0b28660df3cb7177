# Routes below /_emulator, for tests.  They need no key; the journal omits them, and
# limit and faults do not apply to them.
package Emulator::Control;

use strict;
use warnings;

use Encode     qw(decode_utf8);
use Mojo::JSON qw(encode_json true);
use Mojo::Util qw(url_unescape);

my %ROUTES = (
	'POST reset' => \&reset_all,
	'GET info' => \&info,
	'GET journal' => \&journal,
	'DELETE journal' => \&clear_journal,
	'GET requests' => \&requests,
	'GET count' => \&count,
	'GET connections' => \&connections,
	'GET faults' => \&faults,
	'POST faults' => \&add_fault,
	'DELETE faults' => \&clear_faults,
	'POST services' => \&set_service);

# Handlers return data, or a string for plain text; they die of a text if the
# request is invalid.
sub answer
{
	my ($emulator, $request) = @_;
	my $name = $request->{path} =~ s{\A/_emulator/?}{}r;
	$request->{service} = decode_utf8(url_unescape($1))
	  if $name =~ s{\Aservices\K/(.+)}{};
	my $handler = $ROUTES{"$request->{method} $name"}
	  or return _json(404, { error => 'the emulator has no such route' });
	my $result = eval { $handler->($emulator, $request) };
	return _json(400, { error => $@ =~ s/\n\z//r }) if !defined $result;
	return _json(200, $result) if ref $result;
	return { status => 200, content_type => 'text/plain', body => $result };
}

sub reset_all
{
	my ($emulator, $request) = @_;
	$emulator->reset($request->{body} // {});
	return info($emulator);
}

sub info
{
	my ($emulator) = @_;
	my $fleet = $emulator->{fleet};
	my @organization_ids = $fleet->organization_ids;
	return {
		key_id => $emulator->{key_id},
		organization_id => $organization_ids[0],
		organization_ids => \@organization_ids,
		services => [
			map {
				my $fields = $_->{fields};
				+{ map { $_ => $fields->{$_} } qw(id name state) }
			} $fleet->services
		]
	};
}

sub journal
{
	my ($emulator, $request) = @_;
	my $journal = $emulator->{journal};
	return {
		requests => [ $journal->requests(_path_regex($request)) ],
		connections => $journal->connections
	};
}

sub clear_journal
{
	my ($emulator) = @_;
	$emulator->{journal}->clear;
	return { ok => true };
}

# One line per request
sub requests
{
	my ($emulator, $request) = @_;
	return join '', map {
		my $query = $_->{raw_query} eq '' ? '' : "?$_->{raw_query}";
		my $status = $_->{status} // '-';
		"$_->{method} $_->{path}$query $status\n"
	} $emulator->{journal}->requests(_path_regex($request));
}

sub count
{
	my ($emulator, $request) = @_;
	return $emulator->{journal}->requests(_path_regex($request)) . "\n";
}

sub connections
{
	my ($emulator) = @_;
	return $emulator->{journal}->connections . "\n";
}

sub faults
{
	my ($emulator) = @_;
	return { faults => [ $emulator->{faults}->list ] };
}

sub add_fault
{
	my ($emulator, $request) = @_;
	return { id => $emulator->{faults}->add($request->{body}) };
}

sub clear_faults
{
	my ($emulator) = @_;
	$emulator->{faults}->clear;
	return { ok => true };
}

# Merges the body into the service with this id or name.
sub set_service
{
	my ($emulator, $request) = @_;
	my $wanted = $request->{service} // '';
	my @services = $emulator->{fleet}->services;
	my @found = grep { $_->{fields}{id} eq $wanted } @services;
	@found = grep { $_->{fields}{name} eq $wanted } @services if !@found;
	die "there is no service \"$wanted\"\n" if !@found;
	die "several services are called \"$wanted\"\n" if @found > 1;
	die "a service is changed by a JSON object\n"
	  if ref $request->{body} ne 'HASH';
	$emulator->{lifecycle}->merge($found[0], $request->{body});
	return $found[0]{fields};
}

sub _path_regex
{
	my ($request) = @_;
	my $path = $request->{query}{path};
	return undef if !defined $path;
	return eval { qr/$path/ } // die "path: not a regular expression\n";
}

sub _json
{
	my ($status, $data) = @_;
	return { status => $status, body => encode_json($data) . "\n" };
}

1;
