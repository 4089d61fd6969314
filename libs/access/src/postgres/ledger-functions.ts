/**
 * The ledger's only writers. `ledger_apply` takes a batch of commands, locks each unit that they touch (one writer
 * per unit at a time, so what a guard has seen stays true until the commit), and answers each command by itself: a
 * refused one changes nothing and does not stop the others. Functions in the database rather than statements from
 * outside: a batch is one round trip, so the lock is held for a commit and not for a conversation.
 */
export const ledgerFunctions = `
-- What may be held at this account now: the least of its fund's live grants and the room below every limit above it.
CREATE FUNCTION access.ledger_free(v_unit text, v_owner text, v_now timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT least(
    coalesce((SELECT sum(g.balance - g.held) FROM access.account_grant g
      WHERE g.unit = a.unit AND g.account = a.fund AND g.balance > 0
        AND (g.starts_at IS NULL OR g.starts_at <= v_now) AND (g.expires_at IS NULL OR g.expires_at > v_now)), 0),
    (SELECT min(p.limit_amount - p.drawn_held - p.drawn_posted) FROM access.account p
      WHERE p.unit = a.unit AND p.owner = ANY (a.path) AND p.limit_amount IS NOT NULL))::bigint
  FROM access.account a WHERE a.unit = v_unit AND a.owner = v_owner
$$;

CREATE FUNCTION access.ledger_refusal(v_code text, v_detail text, v_facts jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('ok', false, 'code', v_code, 'detail', v_detail, 'facts', v_facts)
$$;

CREATE FUNCTION access.ledger_answer(j access.journal, v_replayed boolean) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('ok', true, 'replayed', v_replayed, 'kind', j.kind, 'id', j.id, 'unit', j.unit,
    'debit', j.debit, 'credit', j.credit, 'account', j.account, 'amount', j.amount, 'reference', j.reference,
    'expiresAt', to_char(j.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
$$;

-- Opens an account below its parent, or finds it as it is.
CREATE FUNCTION access.ledger_open(c jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_parent access.account; v_old access.account;
BEGIN
  SELECT * INTO v_old FROM access.account WHERE unit = c->>'unit' AND owner = c->>'owner';
  IF FOUND THEN
    IF v_old.kind = c->>'accountKind' AND v_old.parent IS NOT DISTINCT FROM c->>'parent' THEN
      RETURN jsonb_build_object('ok', true, 'replayed', true, 'kind', 'open', 'account', v_old.owner, 'unit', v_old.unit);
    END IF;
    RETURN access.ledger_refusal('access.id-reused',
      format('The account %s of %s exists, as a %s below %s', v_old.owner, v_old.unit, v_old.kind, v_old.parent));
  END IF;
  SELECT * INTO v_parent FROM access.account WHERE unit = c->>'unit' AND owner = c->>'parent';
  IF NOT FOUND OR v_parent.kind NOT IN ('fund', 'share') THEN
    RETURN access.ledger_refusal('resource.not-found', format('No account %s of %s to open one below', c->>'parent', c->>'unit'));
  END IF;
  INSERT INTO access.account (unit, owner, kind, parent, path, fund, limit_amount, opens_at, closes_at)
  VALUES (c->>'unit', c->>'owner', c->>'accountKind', v_parent.owner, v_parent.path || (c->>'owner'),
    CASE c->>'accountKind' WHEN 'fund' THEN c->>'owner' ELSE v_parent.fund END,
    (c->>'limit')::bigint, (c->>'opensAt')::timestamptz, (c->>'closesAt')::timestamptz);
  RETURN jsonb_build_object('ok', true, 'replayed', false, 'kind', 'open', 'account', c->>'owner', 'unit', c->>'unit');
END $$;

-- Changes limit or window of an account: a field that the command does not carry stays.
CREATE FUNCTION access.ledger_adjust(c jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_account access.account;
BEGIN
  SELECT * INTO v_account FROM access.account WHERE unit = c->>'unit' AND owner = c->>'owner';
  IF NOT FOUND THEN
    RETURN access.ledger_refusal('resource.not-found', format('No account %s of %s', c->>'owner', c->>'unit'));
  END IF;
  IF v_account.drawn_held + v_account.drawn_posted > (c->>'limit')::bigint THEN
    RETURN access.ledger_refusal('limit.exceeded',
      format('%s has drawn %s of %s already, more than a limit of %s', v_account.owner,
        v_account.drawn_held + v_account.drawn_posted, v_account.unit, c->>'limit'));
  END IF;
  UPDATE access.account SET
    limit_amount = CASE WHEN c ? 'limit' THEN (c->>'limit')::bigint ELSE limit_amount END,
    opens_at = CASE WHEN c ? 'opensAt' THEN (c->>'opensAt')::timestamptz ELSE opens_at END,
    closes_at = CASE WHEN c ? 'closesAt' THEN (c->>'closesAt')::timestamptz ELSE closes_at END
  WHERE unit = v_account.unit AND owner = v_account.owner;
  RETURN jsonb_build_object('ok', true, 'replayed', false, 'kind', 'adjust', 'account', v_account.owner, 'unit', v_account.unit);
END $$;

-- Moves units from the issuer or a fund to a fund or back to the issuer. A fund pays from the grants that expire
-- first, and what arrives expires no later than what it was paid from. Without an amount: all that is free.
CREATE FUNCTION access.ledger_transfer(c jsonb, v_now timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_old access.journal; v_from access.account; v_to access.account; v_made access.journal; v_grant access.account_grant;
  v_amount bigint := (c->>'amount')::bigint; v_free bigint; v_rest bigint; v_take bigint; v_line int := 0;
BEGIN
  SELECT * INTO v_old FROM access.journal WHERE id = c->>'id';
  IF FOUND THEN
    IF v_old.kind = 'transfer' AND v_old.unit = c->>'unit' AND v_old.debit = c->>'from' AND v_old.credit = c->>'to'
      AND v_old.amount = coalesce(v_amount, v_old.amount) AND v_old.reference = c->>'reference' THEN
      RETURN access.ledger_answer(v_old, true);
    END IF;
    RETURN access.ledger_refusal('access.id-reused', format('The id %s names another entry of the journal', v_old.id));
  END IF;
  SELECT * INTO v_from FROM access.account WHERE unit = c->>'unit' AND owner = c->>'from';
  IF NOT FOUND OR v_from.kind NOT IN ('issuer', 'fund') THEN
    RETURN access.ledger_refusal('resource.not-found', format('No account %s of %s that could pay', c->>'from', c->>'unit'));
  END IF;
  SELECT * INTO v_to FROM access.account WHERE unit = c->>'unit' AND owner = c->>'to';
  IF NOT FOUND OR v_to.kind NOT IN ('issuer', 'fund') OR v_to.owner = v_from.owner THEN
    RETURN access.ledger_refusal('resource.not-found', format('No account %s of %s that could receive', c->>'to', c->>'unit'));
  END IF;
  IF v_from.kind = 'fund' THEN
    SELECT coalesce(sum(balance - held), 0) INTO v_free FROM access.account_grant
    WHERE unit = v_from.unit AND account = v_from.owner AND balance > 0
      AND (starts_at IS NULL OR starts_at <= v_now) AND (expires_at IS NULL OR expires_at > v_now);
    v_amount := coalesce(v_amount, v_free);
    IF v_amount > v_free THEN
      RETURN access.ledger_refusal('access.insufficient-units',
        format('%s has %s %s available, and %s are asked for', v_from.owner, v_free, v_from.unit, v_amount),
        jsonb_build_object('unit', v_from.unit, 'account', v_from.owner, 'available', v_free, 'requested', v_amount));
    END IF;
  END IF;
  IF coalesce(v_amount, 0) = 0 THEN
    RETURN jsonb_build_object('ok', true, 'replayed', true, 'kind', 'transfer', 'id', c->>'id', 'unit', v_from.unit,
      'debit', v_from.owner, 'credit', v_to.owner, 'account', v_from.owner, 'amount', 0, 'reference', c->>'reference');
  END IF;
  INSERT INTO access.journal (id, kind, unit, debit, credit, account, amount, reference, actor, details, expires_at, at)
  VALUES (c->>'id', 'transfer', v_from.unit, v_from.owner, v_to.owner, v_to.owner, v_amount, c->>'reference', c->>'actor',
    coalesce(c->'details', '{}'), (c->>'expiresAt')::timestamptz, v_now)
  RETURNING * INTO v_made;
  v_rest := v_amount;
  WHILE v_rest > 0 LOOP
    v_take := v_rest;
    v_grant := NULL;
    IF v_from.kind = 'fund' THEN
      SELECT * INTO STRICT v_grant FROM access.account_grant
      WHERE unit = v_from.unit AND account = v_from.owner AND balance > 0 AND balance > held
        AND (starts_at IS NULL OR starts_at <= v_now) AND (expires_at IS NULL OR expires_at > v_now)
      ORDER BY expires_at NULLS LAST, created_at, id LIMIT 1;
      v_take := least(v_rest, v_grant.balance - v_grant.held);
      UPDATE access.account_grant SET balance = balance - v_take WHERE id = v_grant.id AND balance - held >= v_take;
    END IF;
    INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount, grant_id)
    VALUES (v_made.seq, v_line, v_from.unit, v_from.owner, 'posted', -v_take, v_grant.id),
      (v_made.seq, v_line + 1, v_to.unit, v_to.owner, 'posted', v_take,
        CASE v_to.kind WHEN 'fund' THEN v_made.id || '#' || v_line END);
    IF v_to.kind = 'fund' THEN
      INSERT INTO access.account_grant (id, unit, account, balance, starts_at, expires_at, created_at)
      VALUES (v_made.id || '#' || v_line, v_to.unit, v_to.owner, v_take,
        greatest(v_grant.starts_at, (c->>'startsAt')::timestamptz),
        least(v_grant.expires_at, (c->>'expiresAt')::timestamptz), v_now);
    END IF;
    v_line := v_line + 2;
    v_rest := v_rest - v_take;
  END LOOP;
  UPDATE access.account SET posted = posted - v_amount WHERE unit = v_from.unit AND owner = v_from.owner;
  UPDATE access.account SET posted = posted + v_amount WHERE unit = v_to.unit AND owner = v_to.owner;
  RETURN access.ledger_answer(v_made, false);
END $$;

-- Sets units aside: they count against the account, and against every account above it, from now on.
CREATE FUNCTION access.ledger_hold(c jsonb, v_now timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_old access.journal; v_account access.account; v_shut access.account; v_made access.journal; v_grant record;
  v_amount bigint := (c->>'amount')::bigint; v_free bigint; v_rest bigint; v_take bigint; v_line int := 0;
BEGIN
  SELECT * INTO v_old FROM access.journal WHERE id = c->>'id';
  IF FOUND THEN
    IF v_old.kind = 'hold' AND v_old.unit = c->>'unit' AND v_old.account = c->>'account' AND v_old.amount = v_amount
      AND v_old.reference = c->>'reference' THEN
      RETURN access.ledger_answer(v_old, true)
        || (SELECT jsonb_build_object('state', state) FROM access.hold WHERE id = v_old.id);
    END IF;
    RETURN access.ledger_refusal('access.id-reused', format('The id %s names another entry of the journal', v_old.id));
  END IF;
  SELECT * INTO v_account FROM access.account WHERE unit = c->>'unit' AND owner = c->>'account';
  IF NOT FOUND OR v_account.fund IS NULL THEN
    RETURN access.ledger_refusal('resource.not-found', format('No account %s of %s', c->>'account', c->>'unit'),
      jsonb_build_object('unit', c->>'unit', 'account', c->>'account'));
  END IF;
  SELECT * INTO v_shut FROM access.account
  WHERE unit = v_account.unit AND owner = ANY (v_account.path) AND (opens_at > v_now OR closes_at <= v_now)
  ORDER BY cardinality(path) LIMIT 1;
  IF FOUND THEN
    RETURN access.ledger_refusal('access.allocation-inactive',
      format('%s is %s', v_shut.owner, CASE WHEN v_shut.opens_at > v_now THEN 'not open yet' ELSE 'closed' END),
      jsonb_build_object('account', v_shut.owner));
  END IF;
  v_free := access.ledger_free(v_account.unit, v_account.owner, v_now);
  IF v_amount > v_free THEN
    RETURN access.ledger_refusal('access.insufficient-units',
      format('%s has %s %s available, and %s are asked for; nothing was charged', v_account.owner, v_free, v_account.unit, v_amount),
      jsonb_build_object('unit', v_account.unit, 'account', v_account.owner, 'available', v_free, 'requested', v_amount));
  END IF;
  INSERT INTO access.journal (id, kind, unit, debit, credit, account, amount, reference, actor, details, expires_at, at)
  VALUES (c->>'id', 'hold', v_account.unit, v_account.fund, 'usage', v_account.owner, v_amount, c->>'reference', c->>'actor',
    coalesce(c->'details', '{}'), v_now + (c->>'ttlMs')::bigint * interval '1 millisecond', v_now)
  RETURNING * INTO v_made;
  v_rest := v_amount;
  FOR v_grant IN
    SELECT id, balance - held AS free FROM access.account_grant
    WHERE unit = v_account.unit AND account = v_account.fund AND balance > 0 AND balance > held
      AND (starts_at IS NULL OR starts_at <= v_now) AND (expires_at IS NULL OR expires_at > v_now)
    ORDER BY expires_at NULLS LAST, created_at, id
  LOOP
    v_take := least(v_rest, v_grant.free);
    UPDATE access.account_grant SET held = held + v_take WHERE id = v_grant.id AND balance - held >= v_take;
    INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount, grant_id)
    VALUES (v_made.seq, v_line, v_account.unit, v_account.fund, 'pending', -v_take, v_grant.id);
    v_line := v_line + 1;
    v_rest := v_rest - v_take;
    EXIT WHEN v_rest = 0;
  END LOOP;
  INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount)
  VALUES (v_made.seq, v_line, v_account.unit, 'usage', 'pending', v_amount);
  UPDATE access.account SET
    drawn_held = drawn_held + CASE WHEN kind = 'usage' THEN 0 ELSE v_amount END,
    pending = pending + CASE WHEN kind = 'usage' THEN v_amount WHEN owner = v_account.fund THEN -v_amount ELSE 0 END
  WHERE unit = v_account.unit AND owner = ANY (v_account.path || 'usage'::text);
  INSERT INTO access.hold (id, unit, account, amount, expires_at)
  VALUES (v_made.id, v_account.unit, v_account.owner, v_amount, v_made.expires_at);
  RETURN access.ledger_answer(v_made, false) || '{"state": "pending"}';
END $$;

-- Ends a hold, once: posts all or part of it, and gives the rest back to the grants it was taken from.
CREATE FUNCTION access.ledger_settle(c jsonb, v_now timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_hold access.hold; v_held access.journal; v_old access.journal; v_made access.journal; v_account access.account; v_piece record;
  v_kind text := c->>'outcome'; v_amount bigint := coalesce((c->>'amount')::bigint, 0);
  v_rest bigint; v_take bigint; v_line int := 0;
BEGIN
  SELECT * INTO v_hold FROM access.hold WHERE id = c->>'hold';
  IF NOT FOUND THEN
    RETURN access.ledger_refusal('resource.not-found', format('No hold %s', c->>'hold'));
  END IF;
  IF v_hold.state <> 'pending' THEN
    SELECT * INTO STRICT v_old FROM access.journal WHERE hold_id = v_hold.id;
    IF v_old.kind = v_kind AND v_old.amount = v_amount THEN
      RETURN access.ledger_answer(v_old, true);
    END IF;
    RETURN access.ledger_refusal('access.hold-settled',
      format('The hold %s is %s already, with %s of %s posted', v_hold.id, v_hold.state, v_hold.posted, v_hold.amount),
      jsonb_build_object('state', v_hold.state, 'posted', v_hold.posted, 'held', v_hold.amount));
  END IF;
  IF v_kind = 'expire' AND (v_hold.expires_at IS NULL OR v_hold.expires_at > v_now) THEN
    RETURN access.ledger_refusal('state.illegal-transition', format('The hold %s has not expired', v_hold.id));
  END IF;
  -- Time decides, not whether the reconciler came by: what has run out can no longer be charged.
  IF v_kind = 'post' AND v_hold.expires_at <= v_now THEN
    RETURN access.ledger_refusal('access.hold-settled', format('The hold %s ran out before it was settled; nothing is charged', v_hold.id),
      jsonb_build_object('state', 'expired', 'posted', 0, 'held', v_hold.amount));
  END IF;
  IF v_amount > v_hold.amount THEN
    RETURN access.ledger_refusal('limit.exceeded', format('The hold %s is of %s, and %s are to be posted', v_hold.id, v_hold.amount, v_amount),
      jsonb_build_object('held', v_hold.amount, 'requested', v_amount));
  END IF;
  SELECT * INTO STRICT v_account FROM access.account WHERE unit = v_hold.unit AND owner = v_hold.account;
  SELECT * INTO STRICT v_held FROM access.journal WHERE id = v_hold.id;
  INSERT INTO access.journal (id, kind, unit, debit, credit, account, amount, hold_id, reference, actor, details, at)
  VALUES (v_hold.id || '.settled', v_kind, v_hold.unit, v_account.fund, 'usage', v_hold.account, v_amount, v_hold.id,
    v_held.reference, c->>'actor', coalesce(c->'details', '{}'), v_now)
  RETURNING * INTO v_made;
  v_rest := v_amount;
  FOR v_piece IN
    SELECT grant_id, -amount AS amount FROM access.journal_entry
    WHERE seq = v_held.seq AND account = v_account.fund ORDER BY line
  LOOP
    v_take := least(v_rest, v_piece.amount);
    INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount, grant_id)
    VALUES (v_made.seq, v_line, v_hold.unit, v_account.fund, 'pending', v_piece.amount, v_piece.grant_id);
    v_line := v_line + 1;
    IF v_take > 0 THEN
      INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount, grant_id)
      VALUES (v_made.seq, v_line, v_hold.unit, v_account.fund, 'posted', -v_take, v_piece.grant_id);
      v_line := v_line + 1;
    END IF;
    UPDATE access.account_grant SET held = held - v_piece.amount, balance = balance - v_take WHERE id = v_piece.grant_id;
    v_rest := v_rest - v_take;
  END LOOP;
  INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount)
  VALUES (v_made.seq, v_line, v_hold.unit, 'usage', 'pending', -v_hold.amount);
  IF v_amount > 0 THEN
    INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount)
    VALUES (v_made.seq, v_line + 1, v_hold.unit, 'usage', 'posted', v_amount);
  END IF;
  UPDATE access.account SET
    drawn_held = drawn_held - CASE WHEN kind = 'usage' THEN 0 ELSE v_hold.amount END,
    drawn_posted = drawn_posted + CASE WHEN kind = 'usage' THEN 0 ELSE v_amount END,
    pending = pending + CASE WHEN kind = 'usage' THEN -v_hold.amount WHEN owner = v_account.fund THEN v_hold.amount ELSE 0 END,
    posted = posted + CASE WHEN kind = 'usage' THEN v_amount WHEN owner = v_account.fund THEN -v_amount ELSE 0 END
  WHERE unit = v_hold.unit AND owner = ANY (v_account.path || 'usage'::text);
  UPDATE access.hold SET posted = v_amount,
    state = CASE v_kind WHEN 'post' THEN 'posted' WHEN 'void' THEN 'voided' ELSE 'expired' END
  WHERE id = v_hold.id AND state = 'pending';
  RETURN access.ledger_answer(v_made, false);
END $$;

-- Gives what is left of an expired grant, and not held, back to the issuer.
CREATE FUNCTION access.ledger_lapse(c jsonb, v_now timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_grant access.account_grant; v_made access.journal; v_amount bigint;
BEGIN
  SELECT * INTO v_grant FROM access.account_grant WHERE id = c->>'grant' AND expires_at <= v_now AND balance > held;
  IF NOT FOUND THEN
    RETURN access.ledger_refusal('state.illegal-transition', format('Nothing of the grant %s has lapsed', c->>'grant'));
  END IF;
  v_amount := v_grant.balance - v_grant.held;
  INSERT INTO access.journal (id, kind, unit, debit, credit, account, amount, reference, actor, details, at)
  VALUES (v_grant.id || '.lapsed-' || v_grant.balance, 'lapse', v_grant.unit, v_grant.account, 'issuer', v_grant.account,
    v_amount, v_grant.id, c->>'actor', '{}', v_now)
  RETURNING * INTO v_made;
  INSERT INTO access.journal_entry (seq, line, unit, account, layer, amount, grant_id)
  VALUES (v_made.seq, 0, v_grant.unit, v_grant.account, 'posted', -v_amount, v_grant.id),
    (v_made.seq, 1, v_grant.unit, 'issuer', 'posted', v_amount, NULL);
  UPDATE access.account_grant SET balance = balance - v_amount WHERE id = v_grant.id;
  UPDATE access.account SET posted = posted + CASE WHEN owner = 'issuer' THEN v_amount ELSE -v_amount END
  WHERE unit = v_grant.unit AND owner IN ('issuer', v_grant.account);
  RETURN access.ledger_answer(v_made, false);
END $$;

CREATE FUNCTION access.ledger_apply(commands jsonb, v_at timestamptz DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  c jsonb; v_unit text; v_now timestamptz; answers jsonb := '[]';
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
