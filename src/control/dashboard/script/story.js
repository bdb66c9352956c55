// What happens to an app, in words.

// What happens to new requests.
function doing({ state, expired_to_app: toApp }) {
    if (state !== 'paused' || !toApp) return meaning[state];
    return `Expired requests are passed on to the app although it is paused, ${count(toApp)} up to now`;
}

// What was asked for, besides the lease.
function terms(app, now) {
    const until = app.waiting_until && new Date(app.waiting_until);
    const left = until && duration(Math.max(0, Math.ceil((until - now) / 1000)));
    return [
        until && `a caller waits until the app is quiet: the pause may be rolled back until ${time(until)} (${left})`,
        app.pace && `${app.state === 'draining' ? '' : 'then '}${paceOf(app.pace)}`,
        app.state === 'draining' && app.drained_by && `ended by ${enders[app.drained_by] ?? app.drained_by}`,
    ];
}

function paceOf({ spread, concurrency, ends }) {
    const over = spread > 0 && `spread over ${duration(spread)}`;
    const end = ends && `until ${time(new Date(ends))}`;
    return [over, end, concurrency > 0 && `${count(concurrency)} at a time`].filter(Boolean).join(', ');
}

// Whether nginx counts from 0 again: earlier counts say nothing then.
function beganAnew({ pause, totals }, before) {
    return pause < before.pause || Object.keys(totals).some((key) => totals[key] < before.totals[key]);
}

// All that a caller can set.
function asSet({ state, pause, until, waiting_until: waits, reason, pace }) {
    return JSON.stringify([state, pause, until, waits, reason, pace?.spread, pace?.concurrency]);
}

function arrival({ state, by, reason, drained_by: ender }) {
    const who = state === 'draining' ? ender && `ended by ${enders[ender] ?? ender}` : by && `by ${by}`;
    return `${[`Now ${state}`, who, reason].filter(Boolean).join(', ')}.`;
}

// What another caller changed.
function changes(app, before) {
    if (app.pause !== before.pause) return app.by ? `Another pause, by ${app.by}.` : 'It was paused meanwhile, and is open again.';
    const set = (key) => app[key] !== before[key];
    const parts = [
        set('until') && (app.until ? `the lease ends at ${time(new Date(app.until))}` : 'no lease any more'),
        set('waiting_until') && (app.waiting_until ? `it may be rolled back until ${time(new Date(app.waiting_until))}` : 'it cannot be rolled back any more'),
        set('reason') && (app.reason ? `the reason is ${app.reason}` : 'no reason any more'),
        app.pace?.spread !== before.pace?.spread || app.pace?.concurrency !== before.pace?.concurrency
            ? (app.pace ? paceOf(app.pace) : 'all at once') : '',
    ];
    return `Changed: ${parts.filter(Boolean).join('; ')}.`;
}

function drained({ released, failed, seconds }) {
    const bad = failed ? `; nginx answered ${count(failed)} of them with 502, 503 or 504` : '';
    return `${count(released)} released in ${duration(seconds, 3)}${bad}`;
}

// How a pause ended, as far as this page saw it.
function verdict({ last_drain: drain, totals }, before, { totals: start, whole }) {
    const isNew = drain && drain.ended !== before.last_drain?.ended;
    const end = isNew && drain.released ? `Open again: ${drained(drain)}.` : 'Open again.';
    const costs = ['failed', 'expired', 'rejected', 'stopped', 'left', 'lost'].map((key) => [totals[key] - start[key], key]);
    const happened = costs.filter(([number]) => number > 0)
        .map(([number, key]) => `${count(number)} ${key === 'left' ? 'whose client left' : key}`);
    const what = before.state === 'away' ? 'absence' : 'pause';
    const since = whole ? `During the ${what}` : `Since this page first saw the ${what}`;
    return `${end} ${since}: ${happened.join(', ') || 'no request failed or expired, none was rejected, stopped or lost, and no client left'}.`;
}

// What this page saw, newest first. Without an app it is about nginx.
function record(app, text) {
    const list = find('#events ol');
    const name = app ? nameOf(app) : '';
    list.prepend(element('li', element('time', time(new Date())), ' ', element('bdi', name), ' ', text));
    while (list.children.length > eventsKept) list.lastChild.remove();
    find('#events').hidden = false;
}
