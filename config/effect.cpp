#include "config/effect.hpp"

namespace penstock::config {

std::string_view to_string(Effect effect) {
    switch (effect) {
        case Effect::as_around: break;
        case Effect::at_once: return "at once";
        case Effect::new_connections: return "new connections only";
        case Effect::next_drain: return "drains that begin later";
        case Effect::next_stop: return "at the next stop";
        case Effect::next_upgrade: return "at the next upgrade";
        case Effect::restart: return "needs a restart";
        case Effect::listens: return "starts to listen";
        case Effect::refuses_new: return "no new connections, sessions go on";
        case Effect::keeps_shared: return "addresses that stay keep their sockets";
        case Effect::drains: return "its sessions drain";
        case Effect::replaces: return "another backend, sessions of the old one drain";
    }
    return "";
}

}  // namespace penstock::config
