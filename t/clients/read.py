"""Read the views of chpg_bi_create by a driver of Python: read.py DRIVER PORT STEP [ARGUMENT...]

Prints one line for each step; see t/lib/ChpgTest/Clients.pm.
"""
import datetime
import sys
import threading

PREVIEW = "SELECT * FROM bi.{} LIMIT 1000"
BLOCKED = "SELECT count(*) FROM bi.logs"


def when_told(act):
    """Call a function in another thread as soon as a line can be read."""

    def wait():
        sys.stdin.readline()
        act()

    threading.Thread(target=wait, daemon=True).start()


class Psycopg:
    """psycopg 3, with parameters that the server gets with their types"""

    mark = "%s"

    def __init__(self, port):
        import psycopg

        self.error = psycopg.Error
        self.connection = psycopg.connect(host="127.0.0.1", port=port, dbname="postgres", user="tool", password="word")

    def lists(self):
        cursor = self.connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'bi' AND table_type = 'VIEW'"
        )
        return [row[0] for row in cursor]

    def query(self, sql, *values):
        return self.connection.execute(sql, values).fetchall()

    def pages(self, sql):
        cursor = self.connection.cursor("pages")
        cursor.execute(sql)
        while True:
            rows = cursor.fetchmany(100)
            yield from rows
            if not rows:
                return

    def cancel(self):
        self.connection.cancel()

    def recover(self):
        self.connection.rollback()

    def state(self, error):
        return error.sqlstate


class Sqlalchemy:
    """SQLAlchemy over psycopg2: it knows the views by reflection"""

    def __init__(self, port):
        import sqlalchemy

        self.sqlalchemy = sqlalchemy
        self.error = sqlalchemy.exc.DBAPIError
        self.engine = sqlalchemy.create_engine(f"postgresql://tool:word@127.0.0.1:{port}/postgres", future=True)
        self.metadata = sqlalchemy.MetaData()
        self.metadata.reflect(self.engine, schema="bi", views=True)
        self.connection = self.engine.connect()

    def table(self, view):
        return self.metadata.tables[f"bi.{view}"]

    def lists(self):
        for table in self.metadata.tables.values():
            if any(column.comment is None for column in table.columns):
                raise AssertionError(f"{table.name} has columns without comments")
        return [table.name for table in self.metadata.tables.values()]

    def previews(self, view):
        return self.connection.execute(self.sqlalchemy.select(self.table(view)).limit(1000)).all()

    def filters(self, view, start, end):
        time = self.table(view).c.time
        query = self.sqlalchemy.select(self.sqlalchemy.func.count()).where(time >= start, time < end)
        return self.connection.execute(query).scalar()

    def pages(self, sql):
        connection = self.connection.execution_options(stream_results=True, max_row_buffer=100)
        yield from connection.execute(self.sqlalchemy.text(sql)).yield_per(100)

    def query(self, sql):
        return self.connection.execute(self.sqlalchemy.text(sql)).all()

    def cancel(self):
        self.connection.connection.cancel()

    def recover(self):
        self.connection.rollback()

    def state(self, error):
        return error.orig.pgcode


class Pyodbc:
    """pyodbc over psqlODBC, as Power BI, Tableau and Excel are; $ODBCINI has the data source"""

    mark = "?"

    def __init__(self, port):
        import pyodbc

        self.error = pyodbc.Error
        self.connection = pyodbc.connect("DSN=chpg")
        self.cursor = self.connection.cursor()

    def lists(self):
        return [row.table_name for row in self.cursor.tables(schema="bi", tableType="TABLE,VIEW")]

    def query(self, sql, *values):
        return self.cursor.execute(sql, *values).fetchall()

    def pages(self, sql):
        self.cursor.execute(sql)
        while True:
            rows = self.cursor.fetchmany(100)
            yield from rows
            if not rows:
                return

    def cancel(self):
        self.cursor.cancel()

    def recover(self):
        self.connection.rollback()

    def state(self, error):
        # ODBC's own state is HY000, or HY008; the driver's text has PostgreSQL's message
        return "57014" if "canceling statement due to user request" in str(error) else str(error)


def main(driver, port, step, *arguments):
    client = {"psycopg": Psycopg, "sqlalchemy": Sqlalchemy, "pyodbc": Pyodbc}[driver](port)
    if step == "lists":
        print(*sorted(client.lists()))
    elif step == "previews":
        rows = client.previews(arguments[0]) if hasattr(client, "previews") else client.query(PREVIEW.format(arguments[0]))
        print(len(rows))
    elif step == "filters":
        view = arguments[0]
        start = datetime.datetime.fromisoformat(arguments[1]).replace(tzinfo=datetime.timezone.utc)
        end = start + datetime.timedelta(hours=1)
        if hasattr(client, "filters"):
            print(client.filters(view, start, end))
        else:
            if driver == "pyodbc":  # ODBC knows no time zones
                start, end = start.replace(tzinfo=None), end.replace(tzinfo=None)
            sql = f'SELECT count(*) FROM bi.{view} WHERE "time" >= {client.mark} AND "time" < {client.mark}'
            print(client.query(sql, start, end)[0][0])
    elif step == "pages":
        view, wanted = arguments[0], int(arguments[1])
        rows = 0
        for _ in client.pages(f"SELECT * FROM bi.{view}"):
            rows += 1
            if rows == wanted:
                break
        print(rows)
    elif step == "cancels":
        when_told(client.cancel)
        try:
            client.query(BLOCKED)
            state = "no error"
        except client.error as error:
            state = client.state(error)
        client.recover()
        print(state, client.query("SELECT 1")[0][0])


main(*sys.argv[1:])
