// Templates through the C interface: errors, limits, hostile input, threads, memory.
#include <atomic>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "support/rendering.h"

namespace reprise::test {
namespace {

using Clock = std::chrono::steady_clock;

std::string render(const std::string& source, const std::string& variables = "{}", int64_t now = 0) {
    const ChatTemplate chat_template(source);
    Rendered rendered;
    ok(chat_template.status());
    ok(chat_template.render(variables, rendered, now));
    return rendered.text;
}

/// The template fails in a line with a message, when it is opened or when it is rendered.
void expect_failure(int32_t line, std::initializer_list<const char*> parts, const std::string& source,
                    const std::string& variables = "{}", reprise_status expected = REPRISE_TEMPLATE) {
    const ChatTemplate chat_template(source);
    Rendered rendered;
    const reprise_status status =
        chat_template.status() == REPRISE_OK ? chat_template.render(variables, rendered) : chat_template.status();
    expect_status(expected, status, parts);
    EXPECT_EQ(line, reprise_last_error_line()) << source.substr(0, 200);
}

TEST(TextTemplate, VariablesKeepTheirOrderAndNumbersTheirDigits) {
    EXPECT_EQ("{\"z\": 1, \"a\": [0.1, 1e+16, 12345678901234567890, null, true], \"é\": \"\\\"\"}",
              render("{{ x | tojson }}", R"({"x": {"z": 1, "a": [0.1, 1e16, 12345678901234567890, null, true],
                                              "\u00e9": "\""}})"));
    EXPECT_EQ("{'b': 2, 'a': 3}", render("{{ x }}", R"({"x": {"b": 1, "a": 3, "b": 2}})"));
    EXPECT_EQ("😀", render("{{ x }}", R"({"x": "\ud83d\ude00"})"));
}

TEST(TextTemplate, TheDateIsThatOfTheCall) {
    const int64_t sunday = 1'785'024'000 + 13 * 3600;  // 2026-07-26
    EXPECT_EQ("26 Jul 2026 13:00", render("{{ strftime_now('%d %b %Y %H:%M') }}", "{}", sunday));
    EXPECT_EQ("today", render("{{ strftime_now('%Y') }}", R"({"strftime_now": "today"})", sunday));
    const ChatTemplate chat_template("{{ strftime_now('%Y') }}");
    reprise_handle rendering = 0;
    ok(reprise_template_render(chat_template.handle(), reinterpret_cast<const uint8_t*>("{}"), 2, nullptr, &rendering));
    const uint8_t* text = nullptr;
    uint64_t n = 0;
    ok(reprise_rendering_text(rendering, &text, &n));
    EXPECT_EQ(4u, n);
    EXPECT_LE(2026, std::stoi(std::string(reinterpret_cast<const char*>(text), n)));
    ok(reprise_rendering_close(rendering));
}

TEST(TextTemplate, WhatFailsSaysWhereAndWhy) {
    expect_failure(2, {"Roles must alternate!"}, "a\n{{ raise_exception('Roles must alternate!') }}");
    Rendered rendered;
    const ChatTemplate raising("{{ raise_exception('only this') }}");
    ASSERT_EQ(REPRISE_TEMPLATE, raising.render("{}", rendered));
    EXPECT_EQ("only this", last_error());
    expect_failure(3, {"undefined"}, "a\n\n{{ x.y.z }}", R"({"x": {}})");
    expect_failure(4, {"'int' and 'str'"}, "{% if true %}\n\n\n{{ 1 + 'a' }}{% endif %}");
    expect_failure(5, {"nofilter"}, "{%- if true -%}\n\n{# a\nb #}\n{{ 1 | nofilter }}{% endif %}");
    expect_failure(2, {"syntax error"}, "a\n{% if %}");
    expect_failure(2, {"unknown tag 'do'"}, "a\n{% do x.append(1) %}");
    expect_failure(1, {"JSON", "byte 1"}, "a", "{]", REPRISE_INVALID_ARGUMENT);
    expect_failure(2, {"JSON"}, "a", "{\"a\": 1,\n}", REPRISE_INVALID_ARGUMENT);
    expect_failure(0, {"not an object"}, "a", "[]", REPRISE_INVALID_ARGUMENT);
    expect_failure(0, {"JSON", "UTF-8", "byte 2"}, "a", "{\"\xff\": 1}", REPRISE_INVALID_ARGUMENT);
    expect_failure(0, {"template", "UTF-8"}, "\xff", "{}", REPRISE_INVALID_ARGUMENT);
    expect_failure(0, {"1048577 bytes"}, std::string((1 << 20) + 1, 'a'), "{}", REPRISE_INVALID_ARGUMENT);
    expect_failure(1, {"nested more than 512 deep"}, "a", "{\"a\": " + std::string(600, '['), REPRISE_INVALID_ARGUMENT);
}

TEST(TextTemplate, HostileTemplatesEndQuicklyAsErrors) {
    const auto repeated = [](const std::string& text, size_t n) {
        std::string out;
        for (size_t i = 0; i < n; ++i) out += text;
        return out;
    };
    const std::string grow =
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
    const std::string deep =
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% for j in range(9) %}{% set ns.x = ";
    const std::string sources[] = {
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{% for i in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}",
        "{{ 'a' * 10**9 }}",
        "{{ 10**10**10 }}",
        "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
        "{% macro m(n) %}{{ m(n - 1) }}{{ m(n - 1) }}{% endmacro %}{{ m(99) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% macro m() %}{% call m() %}x{% endcall %}{% endmacro %}{{ m() }}",
        grow + "{{ ns.x }}",
        grow + "{{ ns.x | tojson }}",
        grow + "{% set y = ns.x %}" + grow + "{{ ns.x == y }}",
        grow + "{{ {ns.x: 1} }}",
        deep + "[ns.x] %}{% endfor %}{% endfor %}",
        deep + "namespace(x=ns.x) %}{% endfor %}{% endfor %}",
        "{{ " + repeated("(", 100000) + "1" + repeated(")", 100000) + " }}",
        "{{ " + repeated("[", 100000) + repeated("]", 100000) + " }}",
        "{{ " + repeated("not ", 100000) + "1 }}",
        repeated("{% if 1 %}", 40000) + repeated("{% endif %}", 40000),
        "{% if 0 %}" + repeated("{% elif 0 %}a", 40000) + "{% endif %}",
        "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}",
        "{% set ns = namespace() %}{% set ns.x = ns %}",
        "{% set ns = namespace() %}{% set ns.x = [{'a': (1, ns)}] %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.x = cycler(ns) %}{{ ns }}",
        grow + "{{ ns }}",
        grow + "{{ ns.x | title }}",
        grow + "{{ ns.x | upper }}",
        grow + "{{ debug() }}",
        "{{ 'a'.ljust(10**12) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ [[[1]]] | tojson(indent='a' * 10000000) }}",
        "{% set x = range(100000) | list %}{% for i in range(100000) %}{% set z = 'q' in x %}{% endfor %}",
        "{% set x = 'é' * 1000000 %}{% for i in range(100000) %}{% set z = x.isalpha() %}{% endfor %}",
    };
    for (const std::string& source : sources) {
        SCOPED_TRACE(source.substr(0, 150));
        const auto start = Clock::now();
        const ChatTemplate chat_template(source);
        Rendered rendered;
        const reprise_status status =
            chat_template.status() == REPRISE_OK ? chat_template.render("{}", rendered) : chat_template.status();
        expect_status(REPRISE_TEMPLATE, status);
        EXPECT_LT(Clock::now() - start, std::chrono::seconds(20));
    }
}

TEST(TextTemplate, LongSumsAndChainsAreNotDeep) {
    std::string sum = "0";
    std::string text = "'a'";
    std::string filters = "1";
    for (int i = 1; i <= 1000; ++i) {
        sum += " + 1";
        text += " ~ 'b'";
        filters += " | string";
    }
    EXPECT_EQ("1000 1001 1", render("{{ " + sum + " }} {{ (" + text + ") | length }} {{ " + filters + " }}"));
}

TEST(TextTemplate, LongSourcesAreReadOnce) {
    std::string source;
    for (int i = 0; i < 40'000; ++i) source += "{% raw %}{% endraw %}";
    const auto start = Clock::now();
    EXPECT_EQ("", render(source));
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(20));
}

TEST(TextTemplate, LongConversationsRender) {
    std::string messages;
    for (int i = 0; i < 5000; ++i) {
        messages +=
            std::string(i > 0 ? "," : "") + "{\"role\": \"user\", \"content\": \"" + std::string(200, 'x') + "\"}";
    }
    const std::string out =
        render("{% for m in messages %}<|im_start|>{{ m['role'] + '\\n' + m.content }}<|im_end|>{% endfor %}",
               "{\"messages\": [" + messages + "]}");
    EXPECT_EQ(5000 * (12 + 5 + 200 + 10), static_cast<int>(out.size()));
}

TEST(TextTemplate, HandlesThatAreNoneAreErrors) {
    reprise_handle rendering = 0;
    const uint8_t* text = nullptr;
    uint64_t n = 0;
    const uint64_t* ranges = nullptr;
    const auto* json = reinterpret_cast<const uint8_t*>("{}");
    const ChatTemplate chat_template("a");
    expect_status(REPRISE_INVALID_HANDLE, reprise_template_render(0, json, 2, nullptr, &rendering),
                  {"template", "null"});
    expect_status(REPRISE_INVALID_HANDLE, reprise_rendering_text(chat_template.handle(), &text, &n),
                  {"template", "rendering"});
    expect_status(REPRISE_INVALID_HANDLE, reprise_rendering_origins(0, &ranges, &n), {"rendering"});
    expect_status(REPRISE_INVALID_ARGUMENT,
                  reprise_template_render(chat_template.handle(), nullptr, 2, nullptr, &rendering), {"variables"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_template_render(chat_template.handle(), json, 2, nullptr, nullptr),
                  {"rendering"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_template_open(json, 2, nullptr, nullptr, 0, nullptr),
                  {"chat_template"});
    const uint64_t offsets[] = {0, 2, 1};
    reprise_handle opened = 0;
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_template_open(json, 2, json, offsets, 2, &opened), {"ascend"});
    EXPECT_EQ(0u, opened);
    ok(reprise_template_render(chat_template.handle(), json, 2, nullptr, &rendering));
    ok(reprise_rendering_close(rendering));
    expect_status(REPRISE_INVALID_HANDLE, reprise_rendering_close(rendering), {"closed"});
}

TEST(TextTemplate, ThreadsRenderOneTemplateAtOnce) {
    const ChatTemplate chat_template("{% for m in messages %}{{ m }}<s>{% endfor %}{{ '<s>' }}", {"<s>"});
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 50; ++i) {
                const std::string text = std::to_string(thread) + "<s>" + std::to_string(i);
                Rendered rendered;
                if (chat_template.render("{\"messages\": [\"" + text + "\"]}", rendered) != REPRISE_OK ||
                    rendered.text != text + "<s><s>" || rendered.origins.size() != 1) {
                    ++wrong;
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(0, wrong);
}

}  // namespace
}  // namespace reprise::test
