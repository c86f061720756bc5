#pragma once

#include <string>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

#include "admin/api.hpp"
#include "tests/unit/admin/fake_operations.hpp"

namespace penstock::test {

namespace http = boost::beast::http;

/// The API before a fake proxy; requests to responses, without any socket.
class AdminApi : public testing::Test {
protected:
    AdminApi() : api(operations, settings), rules(listener(), {}, "") {
        operations.view.process.accepting = true;
        operations.view.upstreams.push_back({.name = "web", .available = 1});
        operations.view.upstreams.push_back({.name = "db"});
        operations.view.listeners.push_back({.name = "in"});
    }

    static config::AdminListener listener() { return {}; }

    admin::HttpResponse send(admin::HttpRequest request) {
        admin::HttpResponse response;
        boost::asio::io_context context;
        boost::asio::co_spawn(context, api.handle(std::move(request), caller, rules),
                              [&](std::exception_ptr error, admin::HttpResponse answer) {
                                  if (error) std::rethrow_exception(error);
                                  response = std::move(answer);
                              });
        context.run();
        return response;
    }
    admin::HttpResponse send(http::verb method, const std::string& target,
                             const std::string& body = "", const std::string& type = "") {
        admin::HttpRequest request(method, target, 11);
        if (!type.empty()) request.set(http::field::content_type, type);
        request.body() = body;
        return send(std::move(request));
    }
    admin::HttpResponse get(const std::string& target) { return send(http::verb::get, target); }
    admin::HttpResponse post(const std::string& target, const std::string& body = "",
                             const std::string& type = "") {
        return send(http::verb::post, target, body, type);
    }
    static boost::json::value json(const admin::HttpResponse& response) {
        return boost::json::parse(response.body());
    }

    FakeOperations operations;
    config::Admin settings;
    admin::Api api;
    admin::AccessRules rules;
    admin::Caller caller{.over_unix = true, .uid = "uid 7"};
};

}  // namespace penstock::test
