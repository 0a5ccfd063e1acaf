// Private: asynchronous work that has been issued and has not taken effect. Under the eager
// schedule there is none: everything is done at its issue.
#pragma once

#include "execute/state.hpp"

namespace karat::ptx {

/// Whether this piece of work is put off: never, always, or by the cluster's random numbers.
bool puts_off(Cluster& cluster);

/// Work of nobody's groups: bulk loads, arrivals of cp.async. It is done when no warp can go on,
/// the oldest first.
void put_off(Warp& warp, std::function<void()> work);
/// @pre there is some
void do_oldest(Cluster& cluster);

/// Work of a warp's groups: cp.async, bulk stores. All but the newest `left` groups are done.
void put_off(Warp& warp, LaterGroups& groups, std::function<void()> work);
void do_groups(LaterGroups& groups, std::size_t left);
/// Everything a warp has in its groups, committed or not.
void do_all(LaterGroups& groups);

/// The next random number of a cluster, below `below`.
std::uint64_t draw(Cluster& cluster, std::uint64_t below);

}  // namespace karat::ptx
