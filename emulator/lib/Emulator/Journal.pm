# The requests that arrived, with time and connection, for tests to count.
package Emulator::Journal;

use strict;
use warnings;

use Time::HiRes qw(time);
use Mojo::Util qw(decode);
use Emulator::Wire;

sub new
{
	my ($class) = @_;
	return bless { entries => [], connection_names => {}, last_name => 0 },
	  $class;
}

# Clears the journal.  From then on entries have the bodies as sent, or not; without
# $record_bodies that does not change.
sub clear
{
	my ($self, $record_bodies) = @_;
	$self->{entries} = [];
	$self->{record_bodies} = $record_bodies if defined $record_bodies;
	return;
}

# Call when a request arrives, so that one which is never answered is recorded;
# returns its entry.
sub arrived
{
	my ($self, $request) = @_;
	my $entry = {
		n => 1 + @{ $self->{entries} },
		at => time,
		method => $request->{method},
		path => $request->{path},
		raw_query => $request->{raw_query},
		query => $request->{query},
		headers => $request->{headers},
		body => $request->{body},
		json => $request->{json},
		connection => $self->_connection_name($request->{connection}),
		status => undef,
		answered_at => undef,
		fault => undef
	};
	$entry->{request_text} = _text($request->{text}) if $self->{record_bodies};
	push @{ $self->{entries} }, $entry;
	return $entry;
}

# Call when the response begins.
sub answered
{
	my ($self, $entry, $answer) = @_;
	@$entry{qw(status answered_at)} = ($answer->{status}, time);
	return if !$self->{record_bodies};
	$entry->{response_text} = _text($answer->{body});
	$entry->{response_type} = Emulator::Wire::content_type($answer);
	return;
}

# The characters of a body: UTF-8, or else its bytes
sub _text
{
	my ($bytes) = @_;
	return decode('UTF-8', $bytes) // $bytes;
}

# The requests whose path matches
sub requests
{
	my ($self, $path_regex) = @_;
	my @entries = @{ $self->{entries} };
	return @entries if !defined $path_regex;
	return grep { $_->{path} =~ $path_regex } @entries;
}

# The number of distinct connections that carried requests
sub connections
{
	my ($self) = @_;
	my %seen = map { $_->{connection} => 1 } @{ $self->{entries} };
	return scalar keys %seen;
}

# Short names of connections, which survive clearing the journal
sub _connection_name
{
	my ($self, $id) = @_;
	return $self->{connection_names}{$id} //= 'c' . ++$self->{last_name};
}

1;
