# Queries of Grafana's dashboards as Grafana's PostgreSQL data source would send them.
package ChpgTest::Grafana;

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use JSON::PP;

our @EXPORT = qw(dashboard_names read_dashboard all_panels panel_queries other_queries variables expand timing_script);

my $PLACE = dirname(__FILE__) . '/../../../dashboards';

sub dashboard_names { return qw(fleet service pattern) }

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!\n";
	local $/;
	return scalar <$in>;
}

sub read_dashboard { my ($name) = @_; return decode_json(slurp("$PLACE/$name.json")) }

# Its panels, those of closed rows, too
sub all_panels { my ($dashboard) = @_; return grep { $_->{type} ne 'row' } map { ($_, @{ $_->{panels} // [] }) } @{ $dashboard->{panels} } }

# Its queries of panels: hashes of name, panel, format, and sql
sub panel_queries
{
	my ($dashboard) = @_;
	return map {
		my $panel = $_;
		my @targets = @{ $panel->{targets} };
		map { { name => $panel->{title} . (@targets > 1 ? " $_->{refId}" : ''), panel => $panel, format => $_->{format}, sql => $_->{rawSql} } } @targets
	} all_panels($dashboard);
}

# Its queries of annotations, likewise
sub other_queries { my ($dashboard) = @_; return map { { name => $_->{name}, format => 'table', sql => $_->{target}{rawSql} } } @{ $dashboard->{annotations}{list} } }

# What its variables are, each a list of values: those of the hash, else all options of one that has All, else the
# first. run runs a query, and returns lines, whose columns are separated by |. The first column is the value.
sub variables
{
	my ($dashboard, $run, $from, $to, %chosen) = @_;
	my %values;

	for my $variable (@{ $dashboard->{templating}{list} })
	{
		my $name = $variable->{name};
		if ($variable->{type} eq 'query')
		{
			my @options = map { s/\|.*//r } split /\n/, $run->(expand($variable->{query}, \%values, $from, $to));
			$values{$name} = $chosen{$name} // ($variable->{includeAll} ? \@options : [ @options ? $options[0] : '' ]);
		}
		else { my $current = $variable->{current}{value} // ''; $values{$name} = $chosen{$name} // (ref $current ? $current : [$current]) }
	}
	return \%values;
}

# A query with its variables and macros replaced. Grafana replaces variables first.
sub expand
{
	my ($sql, $values, $from, $to) = @_;
	my %formats = (
		raw => sub { return join ',', @_ },
		sqlstring => sub { return join ',', map { "'" . s/'/''/gr . "'" } @_ });
	my %macros = (
		__timeFilter => sub { return "$_[0] BETWEEN '$from' AND '$to'" },
		__timeFrom => sub { return "'$from'" },
		__timeTo => sub { return "'$to'" },
		__timeGroup => sub { my ($column, $interval) = @_; my %s = (s => 1, m => 60, h => 3600, d => 86400); my ($n, $unit) = $interval =~ /^'?(\d+)([smhd])'?$/ or die "not an interval: $interval\n"; my $seconds = $n * $s{$unit}; return "floor(extract(epoch from $column)/$seconds)*$seconds" });

	$sql =~ s/\$\{(\w+)(?::(\w+))?\}/my ($name, $format) = ($1, $2 || 'raw'); (($formats{$format} || die "no such format: $format\n")->(@{ $values->{$name} || die "no such variable: $name\n" }))/ge;
	$sql =~ s/\$__interval_ms\b/3600000/g;
	$sql =~ s/\$__interval\b/1h/g;
	$sql =~ s/\$(\w+)\(([^)]*)\)/($macros{$1} || die "no such macro: $1\n")->(map { s!^ +| +$!!gr } split(m!,!, $2))/ge;
	return $sql;
}

# A script for psql that runs statements and prints, of each, the nanoseconds that its backend, which runs on this
# machine, spent on a processor. What else the machine does adds little to that.
sub timing_script
{
	my (@statements) = @_;
	my $cpu_time = q{`cut -d ' ' -f 1 /proc/:pid/schedstat`};

	return join "\n", 'SELECT pg_backend_pid() AS pid \gset',
	  map { ("\\set began $cpu_time", "$_ \\g /dev/null", "\\set ended $cpu_time", 'SELECT :ended - :began;') } @statements;
}

1;
