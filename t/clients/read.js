// Read the views of chpg_bi_create by node-postgres: read.js PORT STEP [ARGUMENT...]
//
// Prints one line for each step; see t/lib/ChpgTest/Clients.pm.

'use strict';

const { Client } = require('pg');
const Cursor = require('pg-cursor');

const [port, step, ...args] = process.argv.slice(2);
const settings = { host: '127.0.0.1', port: Number(port), database: 'postgres', user: 'tool', password: 'word' };

const steps = {
    // As NocoDB and others look for tables
    async lists(client) {
        const found = await client.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = $1 AND table_type IN ('BASE TABLE', 'VIEW')",
            ['bi']);
        return found.rows.map((row) => row.table_name).sort().join(' ');
    },

    async previews(client, view) {
        return (await client.query(`SELECT * FROM bi.${view} LIMIT 1000`)).rows.length;
    },

    async filters(client, view, hour) {
        const start = new Date(`${hour.replace(' ', 'T')}Z`);
        const end = new Date(start.getTime() + 3600000);
        const found = await client.query(
            `SELECT count(*)::integer AS rows FROM bi.${view} WHERE "time" >= $1 AND "time" < $2`, [start, end]);
        return found.rows[0].rows;
    },

    async pages(client, view, wanted) {
        const cursor = client.query(new Cursor(`SELECT * FROM bi.${view}`));
        let rows = 0;
        for (;;) {
            const part = await cursor.read(100);
            rows += part.length;
            if (part.length === 0 || rows >= wanted) {
                break;
            }
        }
        await cursor.close();
        return rows;
    },

    async cancels(client) {
        const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
        process.stdin.once('data', async () => {
            const other = new Client(settings);
            await other.connect();
            await other.query('SELECT pg_cancel_backend($1)', [rows[0].pid]);
            await other.end();
            process.stdin.destroy();
        });
        let state = 'no error';
        try {
            await client.query('SELECT count(*) FROM bi.logs');
        } catch (error) {
            state = error.code;
        }
        return `${state} ${(await client.query('SELECT 1 AS one')).rows[0].one}`;
    },
};

async function main() {
    const client = new Client(settings);
    await client.connect();
    console.log(String(await steps[step](client, ...args)));
    await client.end();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
