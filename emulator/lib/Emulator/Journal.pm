# The requests that arrived, with time and connection, for tests to count.
package Emulator::Journal;

use strict;
use warnings;

use Time::HiRes qw(time);

sub new
{
	my ($class) = @_;
	return bless { entries => [], connection_names => {}, last_name => 0 },
	  $class;
}

sub clear
{
	my ($self) = @_;
	$self->{entries} = [];
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
	push @{ $self->{entries} }, $entry;
	return $entry;
}

# Call when the response begins.
sub answered
{
	my ($self, $entry, $status) = @_;
	@$entry{qw(status answered_at)} = ($status, time);
	return;
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
