#include "net/run_and_post.hpp"

#include <new>

namespace penstock::net {

std::string words_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::bad_alloc&) {
        return "there is not enough memory";
    } catch (const std::exception& e) {
        return e.what();
    } catch (...) {
        return "something unknown was thrown";
    }
}

}  // namespace penstock::net
