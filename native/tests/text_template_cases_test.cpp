// Templates of published models against what Python's jinja2 renders.
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/rendering.h"
#include "support/test_data.h"

namespace reprise::test {
namespace {

using Json = nlohmann::ordered_json;

std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) throw std::runtime_error("cannot read " + path);
    return text.str();
}

/// What is rendered and what differs, a tab between; # begins a comment. Snippets are JSON strings.
std::map<std::string, std::string> known_differences(bool snippets) {
    std::map<std::string, std::string> known;
    std::istringstream lines(content_of(REPRISE_KNOWN_DIFFERENCES));
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line[0] == '#' || (line[0] == '"') != snippets) continue;
        const size_t tab = line.find('\t');
        if (tab == std::string::npos) throw std::runtime_error("known differences: no reason in: " + line);
        const std::string name = line.substr(0, tab);
        known[snippets ? Json::parse(name).get<std::string>() : name] = line.substr(tab + 1);
    }
    return known;
}

/// Renderings that were compared, and which of them differ.
class Comparison {
  public:
    explicit Comparison(bool snippets) : known_(known_differences(snippets)) {}

    /// expected is null where jinja2 fails.
    void compare(const std::string& name, const std::string& source, const std::string& variables,
                 const Json& expected) {
        SCOPED_TRACE(name);
        ++n_;
        const ChatTemplate chat_template(source);
        Rendered rendered;
        const reprise_status status =
            chat_template.status() == REPRISE_OK ? chat_template.render(variables, rendered) : chat_template.status();
        std::string difference;
        if (status != REPRISE_OK) {
            EXPECT_EQ(REPRISE_TEMPLATE, status) << last_error();
            if (!expected.is_null()) {
                difference = "fails in line " + std::to_string(reprise_last_error_line()) + ": " + last_error();
            }
        } else if (expected.is_null()) {
            difference = "no error, but\n" + rendered.text;
        } else if (rendered.text != expected.get<std::string>()) {
            difference = "renders\n" + rendered.text + "\ninstead of\n" + expected.get<std::string>();
        }
        if (!difference.empty()) differing_.insert(name);
        EXPECT_EQ(!difference.empty(), known_.contains(name)) << difference;
    }
    void finish(size_t least) const {
        for (const auto& [name, reason] : known_) EXPECT_TRUE(differing_.contains(name)) << name << ": " << reason;
        EXPECT_LE(least, n_);
    }
    double share_of_differing() const { return static_cast<double>(differing_.size()) / static_cast<double>(n_); }

  private:
    std::map<std::string, std::string> known_;
    std::set<std::string> differing_;
    size_t n_ = 0;
};

TEST(TextTemplateCases, ModelsTemplatesRenderAsJinja2DoesButForKnownDifferences) {
    TEST_DATA_OR_SKIP(folder, "templates");
    const Json cases = Json::parse(content_of(folder + "/cases.json"));
    Comparison comparison(false);
    for (const Json& render : cases["renders"]) {
        const std::string source = render["template"].get<std::string>();
        const std::string name = render["case"].get<std::string>();
        Json variables = cases["inputs"]["cases"][name];
        for (const char* key : {"bos_token", "eos_token", "date_string"}) variables[key] = cases["inputs"][key];
        variables["strftime_now"] = cases["inputs"]["date_string"];
        comparison.compare(source + " " + name, content_of(folder + "/" + source), variables.dump(),
                           render.contains("error") ? Json() : render["expected"]);
    }
    comparison.finish(1);
    EXPECT_LE(comparison.share_of_differing(), 0.01);
}

TEST(TextTemplateCases, SnippetsRenderAsJinja2DoesButForKnownDifferences) {
    const Json data = Json::parse(content_of(REPRISE_JINJA2_SNIPPETS));
    const std::string variables = data["variables"].dump();
    Comparison comparison(true);
    for (const Json& snippet : data["snippets"]) {
        const std::string source = snippet[0].get<std::string>();
        comparison.compare(source, source, variables, snippet[1]);
    }
    comparison.finish(1000);
}

}  // namespace
}  // namespace reprise::test
