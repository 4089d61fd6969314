/**
 * Holds that end together, as the jobs of a busy scheduler do. A settlement of one hold never changes the answer to
 * that of another, so all that are in order are written by one statement; the others (repeated, refused) go the way of
 * `ledger_settle`, one by one.
 */
export const ledgerSettleAll = `
CREATE FUNCTION access.ledger_settle_all(commands jsonb, v_now timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_done jsonb; v_answers jsonb := '[]'; v_each record;
BEGIN
  WITH command AS (
    SELECT n, c->>'hold' AS hold_id, c->>'outcome' AS kind, coalesce((c->>'amount')::bigint, 0) AS amount,
      c->>'actor' AS actor, coalesce(c->'details', '{}') AS details
    FROM jsonb_array_elements(commands) WITH ORDINALITY AS e (c, n)
  ), plain AS MATERIALIZED (
    SELECT c.n, c.kind, c.amount, c.actor, c.details, h.id, h.unit, h.account, h.amount AS held, a.fund, a.path,
      j.seq AS held_seq, j.reference
    FROM command c
    JOIN access.hold h ON h.id = c.hold_id
    JOIN access.account a ON a.unit = h.unit AND a.owner = h.account
    JOIN access.journal j ON j.id = h.id
    WHERE h.state = 'pending' AND c.amount <= h.amount AND CASE c.kind
      WHEN 'expire' THEN h.expires_at <= v_now
      WHEN 'post' THEN h.expires_at IS NULL OR h.expires_at > v_now
      ELSE true END
  ), made AS (
    INSERT INTO access.journal (id, kind, unit, debit, credit, account, amount, hold_id, reference, actor, details, at)
    SELECT id || '.settled', kind, unit, fund, 'usage', account, amount, id, reference, actor, details, v_now
    FROM plain ORDER BY n
    RETURNING *
  ), piece AS (
    -- What is posted is paid by the grants in the order in which the hold took from them.
    SELECT m.seq, p.unit, p.fund, e.line, e.grant_id, -e.amount AS held,
      least(-e.amount, greatest(0, p.amount - coalesce(sum(-e.amount) OVER (PARTITION BY m.seq ORDER BY e.line
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)))::bigint AS taken
    FROM made m
    JOIN plain p ON p.id = m.hold_id
    JOIN access.journal_entry e ON e.seq = p.held_seq AND e.account = p.fund
  ), entry AS (
    SELECT seq, line, 0 AS part, unit, fund AS account, 'pending' AS layer, held AS amount, grant_id FROM piece
    UNION ALL
    SELECT seq, line, 1, unit, fund, 'posted', -taken, grant_id FROM piece WHERE taken > 0
    UNION ALL
    SELECT m.seq, 2147483647, 0, p.unit, 'usage', 'pending', -p.held, NULL FROM made m JOIN plain p ON p.id = m.hold_id
    UNION ALL
    SELECT seq, 2147483647, 1, unit, 'usage', 'posted', amount, NULL FROM made WHERE amount > 0
  ), entries AS (
    INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount, grant_id)
    SELECT seq, row_number() OVER (PARTITION BY seq ORDER BY line, part) - 1, unit, account, layer, amount, grant_id
    FROM entry
  ), grants AS (
    UPDATE access.account_grant g SET held = g.held - t.held, balance = g.balance - t.taken
    FROM (SELECT grant_id, sum(held)::bigint AS held, sum(taken)::bigint AS taken FROM piece GROUP BY grant_id) t
    WHERE g.id = t.grant_id
  ), accounts AS (
    UPDATE access.account a SET
      drawn_held = a.drawn_held - CASE WHEN a.kind = 'usage' THEN 0 ELSE t.held END,
      drawn_posted = a.drawn_posted + CASE WHEN a.kind = 'usage' THEN 0 ELSE t.posted END,
      pending = a.pending + CASE WHEN a.kind = 'usage' THEN -t.held ELSE t.held_of_fund END,
      posted = a.posted + CASE WHEN a.kind = 'usage' THEN t.posted ELSE -t.posted_of_fund END
    FROM (
      SELECT p.unit, o.owner, sum(p.held)::bigint AS held, sum(p.amount)::bigint AS posted,
        coalesce(sum(p.held) FILTER (WHERE o.owner = p.fund), 0)::bigint AS held_of_fund,
        coalesce(sum(p.amount) FILTER (WHERE o.owner = p.fund), 0)::bigint AS posted_of_fund
      FROM plain p, unnest(p.path || 'usage'::text) AS o (owner) GROUP BY p.unit, o.owner
    ) t
    WHERE a.unit = t.unit AND a.owner = t.owner
  ), holds AS (
    UPDATE access.hold h SET posted = p.amount,
      state = CASE p.kind WHEN 'post' THEN 'posted' WHEN 'void' THEN 'voided' ELSE 'expired' END
    FROM plain p WHERE h.id = p.id AND h.state = 'pending'
  )
  SELECT coalesce(jsonb_object_agg(m.hold_id, jsonb_build_object('ok', true, 'replayed', false, 'kind', m.kind,
    'id', m.id, 'unit', m.unit, 'debit', m.debit, 'credit', m.credit, 'account', m.account, 'amount', m.amount,
    'reference', m.reference, 'expiresAt', NULL)), '{}')
  INTO v_done FROM made m;
  FOR v_each IN
    SELECT c, v_done->(c->>'hold') AS answer FROM jsonb_array_elements(commands) WITH ORDINALITY AS e (c, n) ORDER BY n
  LOOP
    v_answers := v_answers || jsonb_build_array(coalesce(v_each.answer, access.ledger_settle(v_each.c, v_now)));
  END LOOP;
  RETURN v_answers;
END $$;

CREATE OR REPLACE FUNCTION access.ledger_apply(commands jsonb, v_at timestamptz DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
  c jsonb; v_unit text; v_now timestamptz; v_settled_holds int; answers jsonb := '[]';
BEGIN
  -- In one order for everybody, so that two batches never wait for each other.
  FOR v_unit IN
    SELECT DISTINCT coalesce(each.c->>'unit', h.unit, g.unit) AS unit
    FROM jsonb_array_elements(commands) AS each (c)
    LEFT JOIN access.hold h ON h.id = each.c->>'hold'
    LEFT JOIN access.account_grant g ON g.id = each.c->>'grant'
    ORDER BY 1
  LOOP
    IF v_unit IS NOT NULL THEN PERFORM pg_advisory_xact_lock(hashtextextended('beamtime.ledger.' || v_unit, 0)); END IF;
  END LOOP;
  -- After the wait: the transaction may have begun long before it got its turn.
  v_now := coalesce(v_at, clock_timestamp());
  -- Different holds that end, and nothing else: together. A hold named twice needs the order of its commands.
  SELECT count(DISTINCT each.c->>'hold') FILTER (WHERE each.c->>'kind' = 'settle') INTO v_settled_holds
  FROM jsonb_array_elements(commands) AS each (c);
  IF v_settled_holds > 1 AND v_settled_holds = jsonb_array_length(commands) THEN
    RETURN access.ledger_settle_all(commands, v_now);
  END IF;
  FOR c IN SELECT value FROM jsonb_array_elements(commands) WITH ORDINALITY ORDER BY ordinality LOOP
    answers := answers || jsonb_build_array(CASE c->>'kind'
      WHEN 'open' THEN access.ledger_open(c)
      WHEN 'adjust' THEN access.ledger_adjust(c)
      WHEN 'transfer' THEN access.ledger_transfer(c, v_now)
      WHEN 'hold' THEN access.ledger_hold(c, v_now)
      WHEN 'settle' THEN access.ledger_settle(c, v_now)
      WHEN 'lapse' THEN access.ledger_lapse(c, v_now)
    END);
  END LOOP;
  RETURN answers;
END $$;
`;
