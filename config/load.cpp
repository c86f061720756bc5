#include "config/load.hpp"

#include <filesystem>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "config/check.hpp"
#include "config/document.hpp"
#include "config/include.hpp"
#include "config/key_table.hpp"
#include "config/reporter.hpp"
#include "config/resolve.hpp"
#include "config/source.hpp"
#include "config/table_reader.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

struct Document {
    Table table;
    std::uint32_t file;
};

class Loader {
public:
    explicit Loader(const Environment& environment) : reader_(reporter_, environment, origins_) {}

    /// The main source; `path` is empty where it is no file.
    void load(Source main, const std::string& path) {
        reporter_.add_source(std::move(main));
        if (!path.empty()) result_.files.push_back(path);
        if (!parse(0)) return;
        reader_.read_include(documents_.front().table, 0, root_);
        for (const auto& pattern : root_.include)
            if (!pattern.empty())
                result_.include_patterns.push_back(
                    absolute_path(pattern, reporter_.source(0).directory()));
        bool parsed = true;
        for (const auto& file : expand_includes(root_.include, path, origins_, reporter_))
            parsed = add(file) && parsed;
        // A file that is missing half its meaning would only give misleading errors.
        if (!parsed) return;
        for (const auto& document : documents_)
            reader_.read_defaults(document.table, document.file, root_);
        for (const auto& document : documents_)
            reader_.read_root(document.table, document.file, root_);
        resolve_defaults(root_.config, origins_);
        check_config(root_.config, origins_, reporter_);
    }

    void fail(Source main, std::string message) {
        reporter_.add_source(std::move(main));
        reporter_.error({}, std::move(message));
    }

    LoadResult finish() {
        result_.config = std::move(root_.config);
        result_.diagnostics = reporter_.take();
        return std::move(result_);
    }

private:
    bool parse(std::uint32_t file) {
        auto table = parse_document(reporter_.source(file), file);
        if (!table) {
            reporter_.error(table.error().where, std::move(table.error().message));
            return false;
        }
        documents_.push_back({*std::move(table), file});
        return true;
    }

    bool add(const IncludedFile& file) {
        auto text = read_source(file.path);
        if (!text) {
            reporter_.error(file.where, fmt::format("'include': {} {}", file.name, text.error()));
            return false;
        }
        result_.files.push_back(file.path);
        const auto directory = std::filesystem::path(file.path).parent_path().string();
        const auto index = reporter_.add_source({file.name, directory, *std::move(text)});
        if (!parse(index)) return false;
        if (const auto* nested = documents_.back().table.find("include"))
            reporter_.error(nested->key_where,
                            "an included file may not include; put the pattern "
                            "into the main file");
        return true;
    }

    Reporter reporter_;
    Origins origins_;
    TableReader reader_;
    Root root_;
    std::vector<Document> documents_;
    LoadResult result_;
};

/// What helps somebody whose configuration is no file.
std::string_view advice_for(const std::string& path) {
    std::error_code ignored;
    switch (std::filesystem::status(path, ignored).type()) {
        case std::filesystem::file_type::not_found:
            return "; a first one needs a [[listener]] (name, bind, upstream) and an [[upstream]] "
                   "(name, backend); 'penstock demo' needs none";
        case std::filesystem::file_type::fifo: return "; '-' reads standard input";
        default: return "";
    }
}

}  // namespace

LoadResult load_file(const std::string& path, const Environment& environment) {
    Loader loader(environment);
    std::error_code ignored;
    auto absolute = std::filesystem::absolute(path, ignored).lexically_normal();
    const auto directory = absolute.parent_path().string();
    auto text = path.empty() ? std::unexpected<std::string>("the name of the file is empty")
                             : read_source(path);
    if (text)
        loader.load({path, directory, *std::move(text)}, absolute.string());
    else
        loader.fail({path, directory, {}}, text.error().append(advice_for(path)));
    return loader.finish();
}

LoadResult load_stream(int fd, std::string_view name, const Environment& environment) {
    std::error_code ignored;
    const auto directory = std::filesystem::current_path(ignored).string();
    auto text = read_stream(fd);
    if (text) return load_text(*text, name, directory, environment);
    Loader loader(environment);
    loader.fail({std::string(name), directory, {}}, std::move(text.error()));
    return loader.finish();
}

LoadResult load_text(std::string_view text, std::string_view file_name,
                     std::string_view base_directory, const Environment& environment) {
    Loader loader(environment);
    Source source{std::string(file_name), std::string(base_directory), std::string(text)};
    if (text.size() > max_source_size)
        loader.fail(std::move(source),
                    fmt::format("is larger than {} MiB, which no configuration is",
                                max_source_size >> 20U));
    else
        loader.load(std::move(source), {});
    return loader.finish();
}

}  // namespace penstock::config
