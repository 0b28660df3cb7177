# JDBC, as DBeaver and Metabase speak it: getTables(TABLE, VIEW) lists the views of chpg_bi_create; it
# previews, filters by time, pages and cancels.  Foreign tables are read by t/fdw/jdbc.pl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use ChpgTest;
use ChpgTest::Clients;
use Test::More;

my @JARS = map { "/usr/share/java/$_.jar" } qw(bsh postgresql);
my @missing = grep { !-e } '/usr/bin/java', @JARS;
plan(skip_all => "@missing not installed") if @missing;

start_clients();
my @client = ('java', '-Duser.timezone=UTC', '-cp', join(':', @JARS), 'bsh.Interpreter', "$FindBin::RealBin/read.bsh", client_port());
client_step(\@client, @$_) foreach client_steps();
client_cancels(\@client);

done_testing();
