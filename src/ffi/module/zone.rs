//! What a start and a reload do to the zone: a configuration takes over the zone of the one before, or
//! carves a new one.
//!
//! nginx calls [`add`] when it has read the http block, then [`init`] when the memory is mapped, then
//! [`init_module`] if it accepts the configuration. Whatever can fail is done before that: nginx ends
//! if init_module fails in a reload.

use core::ffi::c_void;

use nginx_sys::{ngx_cycle_t, ngx_int_t, ngx_log_t, ngx_shm_zone_t, ngx_str_t, NGX_ERROR, NGX_OK};
use ngx::ngx_string;

use crate::ffi::conf::{self, MainConf};
use crate::ffi::nginx::callbacks::callbacks;
use crate::ffi::nginx::conf::Conf;
use crate::ffi::nginx::cycle::{self, now};
use crate::ffi::nginx::log::write;
use crate::ffi::nginx::pages::own_handlers;
use crate::ffi::nginx::shm::{self, SlabPool};
use crate::ffi::nginx::Failed;
use crate::ffi::worker::doorbell::OpenBells;
use crate::ffi::worker::entry;
use crate::ffi::worker::state_file::{Restore, StateFile};
use crate::ffi::worker::unlisted::Roll;
use crate::ffi::worker::zone::{Retired, SharedZone};
use crate::ids::PauseId;
use crate::log_lines::pauses::PauseEvent;
use crate::log_lines::workers::ConfRefused;
use crate::log_lines::About;

const NAME: ngx_str_t = ngx_string!("intermission");

const DEFAULT_SIZE: usize = 10 << 20;

/// Asks nginx for the zone, when the http block has been read.
pub(crate) fn add(cf: Conf) -> Result<(), Failed> {
    let conf = conf::main_conf_of(cf).ok_or(Failed)?;
    conf.own_handlers = own_handlers(cf);
    let zone = shm::add(cf, NAME, conf.zone_size.unwrap_or(DEFAULT_SIZE))?;
    zone.init = on_zone(init);
    zone.data = core::ptr::from_mut(conf).cast();
    Ok(())
}

callbacks! {
    /// What is called when a zone is mapped. The second argument is what `zone.data` was in the
    /// configuration before, if its zone goes on.
    on_zone: (&ngx_shm_zone_t, Option<&'static MainConf>)
        as (*mut ngx_shm_zone_t, *mut c_void) -> ngx_int_t;
}

/// The zone is mapped: a new one, or that of the configuration before.
extern "C" fn init(zone: &ngx_shm_zone_t, before: Option<&'static MainConf>) -> ngx_int_t {
    // SAFETY: `add` put our own configuration there. While nginx makes a cycle, nothing else of ours
    // runs.
    let conf = unsafe { &mut *zone.data.cast::<MainConf>() };
    conf.before.set(before);
    let (log, only_tests) = (conf.cycle().log, cycle::process().only_tests);
    match take(zone, conf) {
        Ok(zone) => {
            conf.zone = Some(zone);
            match conf.state_path.filter(|path| !path.is_empty()) {
                Some(path) if only_tests => StateFile::test(path.as_bytes(), log),
                Some(path) => {
                    let is_new = before.is_none();
                    let restore = if is_new { Restore::Pauses } else { Restore::Nothing };
                    conf.state = Some(StateFile::open(path.as_bytes(), &zone, restore, log));
                }
                None => {}
            }
            NGX_OK as ngx_int_t
        }
        Err(problem) => {
            write(log, &problem);
            NGX_ERROR as ngx_int_t
        }
    }
}

fn take<'c>(zone: &ngx_shm_zone_t, conf: &'c MainConf) -> Result<SharedZone, ConfRefused<'c>> {
    let cycle = conf.cycle();
    let method = cycle::event_method(cycle);
    // With no other event method is an eventfd watched edge-triggered: each worker hears each ring.
    if method != b"epoll" {
        return Err(ConfRefused::NotEpoll(method));
    }
    let pool = SlabPool::of(zone).ok_or(ConfRefused::TooSmall)?;
    if conf.before.get().is_some() {
        return SharedZone::attach(pool).ok_or(ConfRefused::TooSmall);
    }
    let replaced = retire_the_old_one()?;
    let before = replaced.as_ref().map_or(0, |old| old.0.visit(|zone| zone.pauses()));
    conf.replaced.set(replaced);
    let processes = usize::try_from(cycle::core_conf(cycle).worker_processes).unwrap_or(1);
    let zone = SharedZone::carve(pool, processes).ok_or(ConfRefused::TooSmall)?;
    let first = PauseId::before_first(now().wall);
    zone.visit(|zone| zone.pauses_seen(before.max(first.0)));
    if !cycle::process().only_tests {
        let bells = OpenBells::new().map_err(ConfRefused::NoBells)?;
        let roll = Roll::new().map_err(ConfRefused::NoRoll)?;
        zone.bells().set(&bells);
        zone.set_roll(roll.number());
        conf.bells.set(Some(bells));
        conf.roll.set(Some(roll));
    }
    Ok(zone)
}

/// The configuration has been accepted: the workers that are forked from now on serve it.
pub(crate) extern "C" fn init_module(cycle: &ngx_cycle_t) -> ngx_int_t {
    let conf = conf::main_conf_in(cycle).filter(|_| !cycle::process().only_tests);
    let Some(conf) = conf else { return NGX_OK as ngx_int_t };
    if let Some(zone) = conf.zone {
        entry::set_generation(zone.visit(|zone| zone.next_generation()));
        let replaced = conf.replaced.take();
        if let Some(Retired(old)) = &replaced {
            old.file().retire();
        }
        core::mem::forget(replaced);
        match &conf.state {
            Some(state) => state.take_over(&zone, cycle.log),
            None => StateFile::turn_off(&zone),
        }
    }
    // The configuration before lives until this one has taken its place.
    if let Some(before) = conf.before.take() {
        conf.bells.set(before.bells.take());
        conf.roll.set(before.roll.take());
    }
    NGX_OK as ngx_int_t
}

/// nginx quits, and all workers are gone: logs how many held requests were answered because of that.
pub(crate) extern "C" fn exit_master(cycle: &ngx_cycle_t) {
    if let Some(zone) = conf::main_conf_in(cycle).and_then(|conf| conf.zone) {
        say_turned_away(&zone, cycle.log);
    }
}

/// Logs how many held requests were answered because nginx quits, as far as no line has said so.
pub(crate) fn say_turned_away(zone: &SharedZone, log: *mut ngx_log_t) {
    while let Some((name, count)) = zone.visit(|zone| zone.turned_away_by_quit()) {
        write(log, &About(&name, PauseEvent::Quit { count }));
    }
}

/// If the running configuration has a zone of this name, no pause begins there any more. Fails if a
/// pause or a held request is there.
///
/// That zone is not the new one: nginx keeps a zone only if its size and its module are the same.
fn retire_the_old_one() -> Result<Option<Retired>, ConfRefused<'static>> {
    let zones = cycle::running().into_iter().flat_map(shm::zones);
    let mut named = zones.filter(|zone| zone.shm.name.as_bytes() == NAME.as_bytes());
    let Some((zone, pool)) = named.find_map(|zone| Some((zone, SlabPool::of(zone)?))) else {
        return Ok(None);
    };
    if !shm::is_own(zone) {
        // It is another build's: its layout is not known, except where it says whether apps are not
        // open.
        return match SharedZone::not_open_in_another_build(pool) {
            Some(0) | None => Ok(None),
            Some(_) => Err(ConfRefused::Occupied),
        };
    }
    let Some(old) = SharedZone::attach(pool) else { return Ok(None) };
    if old.visit(|zone| zone.retire()) {
        Ok(Some(Retired(old)))
    } else {
        Err(ConfRefused::Occupied)
    }
}
