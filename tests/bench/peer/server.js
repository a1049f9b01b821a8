// Leads of many tenants the way a first version is usually written: middleware that verifies the token, counts the request
// in Redis and asks for the tenant; a transaction with SET LOCAL; a count and then an insert for the limit.
import cluster from 'node:cluster';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import express from 'express';
import { Redis } from 'ioredis';
import jwt from 'jsonwebtoken';
import pg from 'pg';

const { PORT, WORKERS, DATABASE_URL, REDIS_URL, JWT_SECRET_FILE, JWT_ISSUER, JWT_AUDIENCE } = process.env;
const REQUESTS_A_MINUTE = 1_000_000_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const COLUMNS = `id, first_name, last_name, email, phone, phone_raw, company, source, status, score, tags, external_id,
  version, created_at, updated_at`;

function serve() {
  const secret = readFileSync(JWT_SECRET_FILE, 'utf8');
  const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 8 });
  const redis = new Redis(REDIS_URL);
  const app = express();
  app.use(express.json());

  app.get('/health', (request, response) => response.json({ ok: true }));

  app.use((request, response, next) => {
    try {
      const token = (request.headers.authorization ?? '').replace('Bearer ', '');
      const claims = jwt.verify(token, secret, { issuer: JWT_ISSUER, audience: JWT_AUDIENCE, algorithms: ['HS256'] });
      // It becomes a part of SQL below, where no parameter may stand.
      if (!UUID.test(claims.clientId)) throw new Error('no tenant');
      request.tenant = claims.clientId;
      next();
    } catch {
      response.status(401).json({ error: 'unauthenticated' });
    }
  });

  app.use(async (request, response, next) => {
    const key = `peer:${request.tenant}:${Math.floor(Date.now() / 60_000)}`;
    const count = await redis.incr(key);
    if (count === 1) await redis.expire(key, 60);
    if (count > REQUESTS_A_MINUTE) return response.status(429).json({ error: 'too many requests' });
    next();
  });

  // The work in a transaction of the tenant.
  async function asTenant(tenant, work) {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SET LOCAL app.current_client_id = '${tenant}'`);
      const state = await client.query('SELECT state FROM tenant.clients WHERE client_id = $1', [tenant]);
      if (state.rows[0]?.state !== 'active') throw Object.assign(new Error('not active'), { status: 403 });
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }

  app.post('/leads', async (request, response) => {
    const lead = request.body;
    const created = await asTenant(request.tenant, async (client) => {
      const limit = await client.query('SELECT max_leads FROM bench.peer_limits WHERE client_id = $1', [request.tenant]);
      const count = await client.query(
        'SELECT count(*) FROM lead.leads WHERE client_id = $1 AND deleted_at IS NULL', [request.tenant]);
      if (Number(count.rows[0].count) >= Number(limit.rows[0].max_leads)) {
        throw Object.assign(new Error('the limit is reached'), { status: 402 });
      }
      const inserted = await client.query(
        `INSERT INTO lead.leads (client_id, id, first_name, last_name, email, phone, phone_raw, company, source, status,
           score, tags, created_at, updated_at, updated_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, now(), now(), 'peer') RETURNING ${COLUMNS}`,
        [request.tenant, randomUUID(), lead.first_name, lead.last_name, lead.email, lead.phone, lead.phone, lead.company,
          lead.source, lead.score, lead.tags]);
      return inserted.rows[0];
    });
    response.status(201).json(created);
  });

  app.get('/leads/:id', async (request, response) => {
    const found = await asTenant(request.tenant, (client) => client.query(
      `SELECT ${COLUMNS} FROM lead.leads WHERE client_id = $1 AND id = $2 AND deleted_at IS NULL`,
      [request.tenant, request.params.id]));
    if (found.rows.length === 0) return response.status(404).json({ error: 'not found' });
    response.json(found.rows[0]);
  });

  app.get('/leads', async (request, response) => {
    const found = await asTenant(request.tenant, (client) => client.query(
      `SELECT ${COLUMNS} FROM lead.leads WHERE client_id = $1 AND deleted_at IS NULL ORDER BY id DESC LIMIT 50`,
      [request.tenant]));
    response.json({ leads: found.rows });
  });

  app.use((error, request, response, next) => {
    if (!error.status) console.error(error);
    response.status(error.status ?? 500).json({ error: error.message });
  });

  app.listen(Number(PORT), '127.0.0.1');
}

// One process for each processor, as our servers use all of them.
if (cluster.isPrimary) {
  for (let worker = 0; worker < Number(WORKERS); worker += 1) cluster.fork();
  cluster.on('exit', () => process.exit(1));
  process.on('SIGTERM', () => process.exit(0));
} else {
  serve();
}
