// The compiled part of Boost.JSON, once per program.
#include <boost/json/src.hpp>
